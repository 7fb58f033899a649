import Testing

@testable import Doctor

@Suite("Descriptors")
struct FilesTests {
  /// A machine whose process may have `hard` files, and whose processes may have `most`.
  private func facts(hard: Reading, most: Reading = .number(1_048_576)) throws -> SystemFacts {
    var facts = try FakeSystem.facts()
    facts.openFilesHard = hard
    facts.openFilesMost = most
    return facts
  }

  @Test("one table that is large enough, to the last descriptor")
  func oneTable() throws {
    let need: UInt64 = 1_000_000 + 16 + 2 * 5
    var finding = Diagnosis(.million, try facts(hard: .number(need)))["open files"]
    #expect(finding.status == .fine && finding.note == nil && finding.remedies.isEmpty)
    #expect(finding.presentText == "1,000,026 (soft 1,024)")
    finding = Diagnosis(.million, try facts(hard: .number(need - 1)))["open files"]
    #expect(finding.status == .fine)
    #expect(finding.needed == 504_243 + 26)
    #expect(
      finding.note
        == "needs net.private-descriptors: auto, mqtt.max-connections: 1000000")
  }

  @Test("own tables that are large enough, to the last descriptor")
  func ownTables() throws {
    let need: UInt64 = 504_243 + 26
    #expect(Diagnosis(.million, try facts(hard: .number(need)))["open files"].status == .fine)
    let low = Diagnosis(.million, try facts(hard: .number(need - 1)))
    #expect(low["open files"].status == .low)
    // One table is simpler where the limit has to be raised anyway.
    #expect(low["open files"].needed == 1_000_026)
    #expect(low["fs.nr_open"].status == .fine)
  }

  @Test("a low limit: raise it, or take more loops")
  func moreLoops() throws {
    let finding = Diagnosis(.million, try facts(hard: .number(20_000)))["open files"]
    #expect(
      finding.remedies == [
        Remedy(.now, "ulimit -n 1000026", "as root, in the shell that starts the broker"),
        Remedy(.lasting, "LimitNOFILE=1000026", "under [Service] of its unit"),
        Remedy(
          .instead,
          "net.loops: 53, net.private-descriptors: auto, mqtt.max-connections: 1000000"),
      ])
  }

  @Test("a limit that 64 loops do not answer")
  func tooLow() throws {
    let finding = Diagnosis(.million, try facts(hard: .number(1024)))["open files"]
    #expect(finding.remedies.map(\.kind) == [.now, .lasting])
  }

  @Test("own tables where fs.nr_open does not allow one table")
  func ofTheMachine() throws {
    let demand = Demand(connections: 2_000_000, loops: 4)
    let diagnosis = Diagnosis(demand, try facts(hard: .number(1024)))
    #expect(diagnosis["open files"].status == .low)
    #expect(diagnosis["open files"].needed == demand.filesOfOwnTable(loops: 4))
    #expect(diagnosis["open files"].note?.contains("private-descriptors: auto") == true)
    #expect(diagnosis["fs.nr_open"].status == .fine)

    let ten = Diagnosis(
      Demand(connections: 10_000_000, loops: 4), try facts(hard: .number(1_048_576)))
    #expect(ten["open files"].status == .low)
    #expect(ten["fs.nr_open"].status == .low)
    #expect(ten["open files"].remedies.last?.text.hasPrefix("net.loops: 10, ") == true)
    #expect(ten["fs.nr_open"].remedies.first?.text == "sysctl -w fs.nr_open=2509523")
  }

  @Test("one loop needs one table, whatever fs.nr_open")
  func oneLoop() throws {
    let demand = Demand(connections: 2_000_000, loops: 1)
    let diagnosis = Diagnosis(demand, try facts(hard: .number(1_048_576)))
    #expect(diagnosis["open files"].needed == 2_000_021)
    #expect(diagnosis["fs.nr_open"].needed == 2_000_021)
    #expect(diagnosis["open files"].remedies.last?.text.hasPrefix("net.loops: 2, ") == true)
  }

  @Test("from 16,777,216 connections on, auto does not know their number")
  func more() throws {
    let demand = Demand(connections: 16_777_217, loops: 32)
    let finding = Diagnosis(demand, try facts(hard: .number(1_048_576)))["open files"]
    #expect(finding.status == .fine)
    #expect(finding.note == "needs net.private-descriptors: on")
  }

  @Test("a limit above fs.nr_open does not count")
  func nominal() throws {
    let diagnosis = Diagnosis(.million, try facts(hard: .unlimited, most: .number(600_000)))
    #expect(diagnosis["open files"].status == .fine)
    #expect(diagnosis["open files"].note == "needs net.private-descriptors: on")
    #expect(diagnosis["fs.nr_open"].status == .fine)
  }

  @Test("limits that are not known", arguments: [Reading.missing, .garbage("x")])
  func unknown(reading: Reading) throws {
    var facts = try facts(hard: reading, most: reading)
    facts.openFilesSoft = reading
    facts.filesMost = reading
    facts.filesInUse = reading
    facts.watchesMost = reading
    let diagnosis = Diagnosis(.million, facts)
    for name in ["open files", "fs.nr_open", "fs.file-max", "fs.epoll.max_user_watches"] {
      #expect(diagnosis[name].status == .unknown)
      #expect(diagnosis[name].remedies.isEmpty)
    }
    #expect(diagnosis["fs.file-max"].needed == 1_000_026)
  }

  @Test("open files of the machine, those in use included")
  func machine() throws {
    var facts = try FakeSystem.facts()
    facts.filesMost = .number(1_002_073)
    #expect(Diagnosis(.million, facts)["fs.file-max"].status == .low)
    facts.filesMost = .number(1_002_074)
    #expect(Diagnosis(.million, facts)["fs.file-max"].status == .fine)
    let here = Demand(connections: 1_000_000, loops: 2, clientsAreHere: true)
    let finding = Diagnosis(here, facts)["fs.file-max"]
    #expect(finding.needed == 2_002_074)
    #expect(finding.presentText == "1,002,074 (2,048 in use)")
    #expect(
      finding.remedies == [
        Remedy(.now, "sysctl -w fs.file-max=2100000"),
        Remedy(.lasting, "fs.file-max = 2100000", "in /etc/sysctl.d/90-bifrost.conf"),
      ])
  }

  @Test("descriptors in epolls")
  func watches() throws {
    var facts = try FakeSystem.facts()
    facts.watchesMost = .number(1_000_026)
    #expect(Diagnosis(.million, facts)["fs.epoll.max_user_watches"].status == .fine)
    facts.watchesMost = .number(1_000_025)
    #expect(Diagnosis(.million, facts)["fs.epoll.max_user_watches"].status == .low)
  }

  @Test("numbers without bound do not overflow")
  func huge() throws {
    var facts = try FakeSystem.facts()
    facts.filesMost = .number(1 << 62 - 1)
    facts.filesInUse = .number(1 << 62 - 1)
    facts.trackedMost = .number(1 << 62 - 1)
    facts.trackedNow = .number(1 << 62 - 1)
    let demand = Demand(connections: .max, loops: 64, listeners: 64, clientsAreHere: true)
    let diagnosis = Diagnosis(demand, facts)
    #expect(diagnosis["fs.file-max"].status == .low)
    #expect(diagnosis["net.netfilter.nf_conntrack_max"].status == .low)
  }
}

import Testing
import Util

@testable import Doctor

@Suite("Memory, process and the whole")
struct MachineTests {
  private func diagnosis(
    _ demand: Demand = .million, _ change: (inout SystemFacts) -> Void
  ) throws -> Diagnosis {
    var facts = try FakeSystem.facts()
    facts.pageBytes = 4096
    change(&facts)
    return Diagnosis(demand, facts)
  }

  @Test("memory that is available")
  func memory() throws {
    let ample = try diagnosis { _ in }["memory"]
    #expect(ample.status == .fine && ample.note == nil)
    #expect(ample.presentText == "61,440 MiB (of 65,536 MiB)")
    let exact = try diagnosis { $0.memoryAvailable = .number(4_681_000_000) }["memory"]
    #expect(exact.status == .fine)
    #expect(exact.note == "a message on its way to each client takes up to 3,906 MiB more")
    let low = try diagnosis { $0.memoryAvailable = .number(4_680_999_999) }["memory"]
    #expect(low.status == .low)
    #expect(
      low.remedies.map(\.text) == [
        "there is enough for 990,000 quiet clients: have fewer, or more memory"
      ])
    let none = try diagnosis { $0.memoryAvailable = .number(0) }["memory"]
    #expect(none.remedies.map(\.text) == ["there is not enough for any"])
    #expect(try diagnosis { $0.memoryAvailable = .missing }["memory"].status == .unknown)
    #expect(try diagnosis { $0.memoryAvailable = .garbage("5 MB") }["memory"].status == .unknown)
    let untold = try diagnosis { $0.memoryTotal = .missing }["memory"]
    #expect(untold.status == .fine && untold.presentText == "61,440 MiB")
  }

  @Test("overcommit: 0 and 1 are fine")
  func overcommit() throws {
    let name = "vm.overcommit_memory"
    for value: UInt64 in [0, 1] {
      #expect(try diagnosis { $0.overcommit = .number(value) }[name].status == .fine)
    }
    let low = try diagnosis { $0.overcommit = .number(2) }[name]
    #expect(low.status == .low && low.needed == nil && low.neededText == "0 or 1")
    #expect(low.remedies.first?.text == "sysctl -w vm.overcommit_memory=0")
    for reading in [Reading.number(3), .missing, .garbage("on"), .unlimited] {
      #expect(try diagnosis { $0.overcommit = reading }[name].status == .unknown)
    }
  }

  @Test("mappings: all loops' and the process's")
  func mappings() throws {
    let name = "vm.max_map_count"
    #expect(try diagnosis { $0.mappingsMost = .number(4800) }[name].status == .fine)
    #expect(try diagnosis { $0.mappingsMost = .number(4799) }[name].status == .low)
    #expect(try diagnosis { $0.mappingsMost = .missing }[name].status == .unknown)
    // The most loops are within what the kernel allows unless it is told otherwise.
    let most = Demand(connections: 1, loops: 64)
    #expect(try diagnosis(most) { $0.mappingsMost = .number(65_530) }[name].status == .fine)
  }

  @Test("limits that may not be there at all", arguments: ["addresses", "data"])
  func addresses(name: String) throws {
    func finding(_ reading: Reading) throws -> Finding {
      try diagnosis {
        $0.addressSpace = reading
        $0.dataSize = reading
      }[name]
    }
    #expect(try finding(.unlimited).status == .fine)
    let low = try finding(.number(1 << 61))
    #expect(low.status == .low && low.needed == nil && low.neededText == "unlimited")
    #expect(low.remedies.count == 2)
    #expect(try finding(.missing).status == .unknown)
    #expect(try finding(.garbage("x")).status == .unknown)
  }

  @Test("threads of a group")
  func threads() throws {
    let fine = GroupLimit(path: "/p", limit: .number(20), inUse: .number(10))
    #expect(try diagnosis { $0.threadMaxima = [fine] }["pids.max"].status == .fine)
    let tight = GroupLimit(path: "/p", limit: .number(19), inUse: .number(10))
    let low = try diagnosis { $0.threadMaxima = [fine, tight] }["pids.max"]
    #expect(low.status == .low && low.needed == 20)
    #expect(low.remedies.first?.text == "echo 20 > /p")
    let untold = GroupLimit(path: "/p", limit: .number(10), inUse: .missing)
    #expect(try diagnosis { $0.threadMaxima = [untold] }["pids.max"].status == .fine)
    #expect(try diagnosis { $0.threadMaxima = [] }["pids.max"].status == .fine)
    #expect(try diagnosis { $0.threadMaxima = nil }["pids.max"].status == .unknown)
  }

  @Test("sessions that the broker holds")
  func sessions() throws {
    func finding(_ connections: Int, loops: Int) throws -> Finding {
      let demand = Demand(connections: connections, loops: loops)
      return try diagnosis(demand) { _ in }["sessions of a broker"]
    }
    #expect(try finding(Limits.sessionsPerLoop, loops: 1).status == .fine)
    let more = try finding(Limits.sessionsPerLoop + 1, loops: 1)
    #expect(more.status == .low && more.remedies.map(\.text) == ["net.loops: 2"])
    #expect(try finding(Limits.sessions, loops: 3).status == .fine)
    // Two loops have room for all but for their chance: one gets more than half.
    let uneven = try finding(Limits.sessionsPerLoop * 2, loops: 2)
    #expect(uneven.status == .low && uneven.remedies.map(\.text) == ["net.loops: 3"])
    let brokers = try finding(Limits.sessions + 1, loops: 64)
    #expect(brokers.status == .low && brokers.remedies.map(\.text) == ["run 2 brokers"])
    #expect(try finding(100_000_000, loops: 64).remedies.map(\.text) == ["run 3 brokers"])
  }

  @Test("a machine on which nothing bites, and its text")
  func fine() throws {
    let diagnosis = try diagnosis { _ in }
    #expect(diagnosis.isFine && diagnosis.lowCount == 0 && diagnosis.unknownCount == 0)
    let text = diagnosis.text
    #expect(text.hasPrefix("1,000,000 connections, 2 loops, 1 listener\n\n"))
    #expect(text.hasSuffix("\n\nNo limit bites.\n"))
    #expect(!text.contains("LOW"))
    #expect(text.contains("fine     fs.nr_open                     3,000,000\n"))
    #expect(text.contains("  kernel      4,196 MiB  4,400 bytes for each connection\n"))
  }

  @Test("what is low has its need and its commands beneath it")
  func low() throws {
    let diagnosis = try diagnosis {
      $0.acceptQueue = .number(4096)
      $0.tcpPages = .missing
    }
    #expect(!diagnosis.isFine && diagnosis.lowCount == 1 && diagnosis.unknownCount == 1)
    #expect(
      diagnosis.text.contains(
        """
        LOW      net.core.somaxconn             4,096
                 needed    50,000
                 why       \(diagnosis["net.core.somaxconn"].why)
                 now       sysctl -w net.core.somaxconn=50000
                 for good  net.core.somaxconn = 50000  in /etc/sysctl.d/90-bifrost.conf

        """))
    #expect(diagnosis.text.contains("unknown  net.ipv4.tcp_mem               not there\n"))
    let total = diagnosis.findings.count
    #expect(
      diagnosis.text.hasSuffix("\n\n1 limit of \(total) is too low. 1 could not be read.\n"))
  }

  @Test("every check says why, has a name of its own, and help only where it is low")
  func all() throws {
    for connections in [1, 10, 1_000_000, 100_000_000] {
      for loops in [1, 64] {
        for here in [false, true] {
          let demand = Demand(connections: connections, loops: loops, clientsAreHere: here)
          for facts in [try FakeSystem.facts(), SystemFacts(), try FakeSystem.zero()] {
            let findings = Diagnosis(demand, facts).findings
            #expect(Set(findings.map(\.name)).count == findings.count)
            for finding in findings {
              #expect(!finding.why.isEmpty && finding.why.count <= 81)
              #expect((finding.status == .low) != finding.remedies.isEmpty, "\(finding)")
              #expect(!finding.neededText.isEmpty && !finding.presentText.isEmpty)
            }
          }
        }
      }
    }
  }
}

extension FakeSystem {
  /// A machine that says 0 wherever it says something.
  static func zero() throws -> SystemFacts {
    var facts = try facts()
    facts.openFilesHard = .number(0)
    facts.openFilesMost = .number(0)
    facts.filesMost = .number(0)
    facts.watchesMost = .number(0)
    facts.tcpPages = .number(0)
    facts.acceptQueue = .number(0)
    facts.synQueue = .number(0)
    facts.synCookies = .number(0)
    facts.localPorts = .number(0)
    facts.trackedMost = .number(0)
    facts.mappingsMost = .number(0)
    facts.memoryAvailable = .number(0)
    facts.addressSpace = .number(0)
    facts.dataSize = .number(0)
    facts.memoryMaxima = [GroupLimit(path: "/m", limit: .number(0))]
    facts.memoryHighs = [GroupLimit(path: "/h", limit: .number(0))]
    facts.threadMaxima = [GroupLimit(path: "/t", limit: .number(0))]
    return facts
  }
}

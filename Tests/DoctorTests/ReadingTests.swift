import Testing

@testable import Doctor

@Suite("Reading the system")
struct ReadingTests {
  @Test(
    "a file with one number",
    arguments: [
      ("0\n", Reading.number(0)), ("65535", .number(65_535)), (" 7 \n", .number(7)),
      ("4611686018427387903", .number(1 << 62 - 1)), ("4611686018427387904", .unlimited),
      ("9223372036854771712\n", .unlimited), ("99999999999999999999999999", .unlimited),
      ("max\n", .unlimited), ("unlimited", .unlimited), ("", .garbage("")), ("-1", .garbage("-1")),
      ("1 2", .garbage("1 2")), ("0x10", .garbage("0x10")), ("1.5", .garbage("1.5")),
      ("١", .garbage(".")), ("\u{1b}[2J", .garbage(".[2J")),
      (String(repeating: "z", count: 999), .garbage(String(repeating: "z", count: 24))),
    ])
  func number(text: String, reading: Reading) {
    #expect(Reading(text) == reading)
  }

  @Test("a file that is not there")
  func missing() {
    #expect(Reading(nil) == .missing)
    #expect(Reading(nil, column: 2, of: 3) == .missing)
    #expect(SystemFacts.portCount(nil) == .missing)
    #expect(SystemFacts.limit(nil, "Max open files", column: 0) == .missing)
    #expect(SystemFacts.kibibytes(nil, "MemTotal:") == .missing)
  }

  @Test("one of several numbers")
  func columns() {
    #expect(Reading("1\t2\t3\n", column: 2, of: 3) == .number(3))
    #expect(Reading("1\t2\n", column: 1, of: 3) == .garbage("1.2."))
    #expect(Reading("1 2 3 4", column: 2, of: 3) == .garbage("1 2 3 4"))
    #expect(Reading("a 2 3", column: 0, of: 3) == .garbage("a"))
  }

  @Test(
    "a range of ports",
    arguments: [
      ("32768\t60999\n", Reading.number(28_232)), ("1024 65535", .number(64_512)),
      ("7 7", .number(1)), ("60999 32768", .garbage("60999 32768")),
      ("1 65536", .garbage("1 65536")), ("1", .garbage("1")), ("x 9", .garbage("x")),
      ("9 x", .garbage("x")), ("1 99999999999999999999", .unlimited),
    ])
  func ports(text: String, reading: Reading) {
    #expect(SystemFacts.portCount(text) == reading)
  }

  @Test("lines of /proc/self/limits and /proc/meminfo that make no sense")
  func lines() {
    let name = "Max open files"
    #expect(SystemFacts.limit("Max open files  12\n", name, column: 0) == .garbage("12"))
    #expect(SystemFacts.limit("Max open files  a b files\n", name, column: 1) == .garbage("b"))
    #expect(SystemFacts.limit("Max cpu time 1 2\n", name, column: 1) == .missing)
    #expect(SystemFacts.kibibytes("MemTotal: 5 MB\n", "MemTotal:") == .garbage("5 MB"))
    #expect(SystemFacts.kibibytes("MemTotal:\n", "MemTotal:") == .garbage(""))
    #expect(SystemFacts.kibibytes("MemTotal: -5 kB\n", "MemTotal:") == .garbage("-5"))
    let huge = "MemTotal: 4611686018427387903 kB\n"
    #expect(SystemFacts.kibibytes(huge, "MemTotal:") == .unlimited)
  }

  @Test("all facts of a machine")
  func facts() throws {
    let facts = try FakeSystem.facts()
    #expect(facts.openFilesSoft == .number(1024))
    #expect(facts.openFilesHard == .number(3_000_000))
    #expect(facts.addressSpace == .unlimited)
    #expect(facts.dataSize == .unlimited)
    #expect(facts.openFilesMost == .number(3_000_000))
    #expect(facts.filesMost == .unlimited)
    #expect(facts.filesInUse == .number(2048))
    #expect(facts.watchesMost == .number(14_000_000))
    #expect(facts.tcpPages == .number(1_533_480))
    #expect(facts.acceptQueue == .number(65_535))
    #expect(facts.synQueue == .number(4096))
    #expect(facts.synCookies == .number(1))
    #expect(facts.localPorts == .number(28_232))
    #expect(facts.trackedMost == .number(2_000_000))
    #expect(facts.trackedNow == .number(17))
    #expect(facts.overcommit == .number(0))
    #expect(facts.mappingsMost == .number(65_530))
    #expect(facts.memoryTotal == .number(64 << 30))
    #expect(facts.memoryAvailable == .number(60 << 30))
    #expect(facts.memoryMaxima?.count == 2)
    #expect(facts.memoryHighs?.count == 2)
    #expect(facts.threadMaxima?.count == 2)
  }

  @Test("a machine that shows nothing")
  func nothing() throws {
    var expected = SystemFacts()
    let facts = try FakeSystem.read([:])
    expected.pageBytes = facts.pageBytes
    #expect(facts == expected)
    let diagnosis = Diagnosis(.million, facts)
    #expect(diagnosis.isFine)
    // The broker's own limit is known, and connections that nothing tracks are no trouble.
    #expect(diagnosis.unknownCount == diagnosis.findings.count - 2)
  }

  @Test("a file that is no text is shown as far as it can be")
  func noText() throws {
    let system = try FakeSystem([:])
    try system.put("/proc/sys/fs/nr_open", [0xff, 0x00, 0x31])
    let facts = withExtendedLifetime(system) { SystemFacts(root: system.root) }
    #expect(facts.openFilesMost == .garbage("..1"))
  }

  @Test("a directory in a file's place is not there")
  func directory() throws {
    let facts = try FakeSystem.read(["/proc/sys/fs/nr_open/x": "1"])
    #expect(facts.openFilesMost == .missing)
  }

  @Test("this machine tells something")
  func thisMachine() {
    let facts = SystemFacts(root: "/")
    #expect(facts.openFilesHard != .missing)
    #expect(facts.memoryTotal.value ?? 0 > 1 << 20)
  }
}

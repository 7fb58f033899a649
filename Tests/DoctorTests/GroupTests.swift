import Testing

@testable import Doctor

@Suite("Control groups")
struct GroupTests {
  @Test("every directory up to the root, the innermost first")
  func directories() {
    #expect(ControlGroups.directories("/c", "/a/b") == ["/c/a/b", "/c/a", "/c"])
    #expect(ControlGroups.directories("/c", "/") == ["/c"])
    #expect(ControlGroups.directories("/c", "") == ["/c"])
    #expect(ControlGroups.directories("/c", "/../../x") == ["/c"])
  }

  @Test("version 2: the tightest limit on the way counts")
  func second() throws {
    let facts = try FakeSystem.read([
      "/proc/self/cgroup": "0::/a/b\n",
      "/sys/fs/cgroup/cgroup.controllers": "memory\n",
      "/sys/fs/cgroup/a/memory.max": "1000000\n",
      "/sys/fs/cgroup/a/b/memory.max": "2000000\n",
      "/sys/fs/cgroup/a/b/memory.high": "max\n",
    ])
    #expect(
      facts.memoryMaxima == [
        GroupLimit(path: "/sys/fs/cgroup/a/b/memory.max", limit: .number(2_000_000)),
        GroupLimit(path: "/sys/fs/cgroup/a/memory.max", limit: .number(1_000_000)),
      ])
    #expect(facts.memoryMaxima?.tightest?.path == "/sys/fs/cgroup/a/memory.max")
    #expect(facts.memoryHighs?.count == 1 && facts.memoryHighs?.tightest == nil)
    #expect(facts.threadMaxima == [])
    let finding = Diagnosis(.million, facts)["memory.max"]
    #expect(finding.status == .low)
    #expect(finding.presentText == "977 KiB (/sys/fs/cgroup/a/memory.max)")
    #expect(
      finding.remedies.map(\.text) == [
        "echo 4465M > /sys/fs/cgroup/a/memory.max",
        "MemoryMax=4465M",
        "there is not enough for any",
      ])
  }

  @Test("version 1: its files and its number for no limit")
  func first() throws {
    let facts = try FakeSystem.read([
      "/proc/self/cgroup": "8:pids:/x\n4:memory:/x/y\n2:cpu,cpuacct:/\n1:name=systemd:/\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
      "/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "8589934592\n",
      "/sys/fs/cgroup/memory/x/y/memory.limit_in_bytes": "9223372036854771712\n",
      "/sys/fs/cgroup/pids/x/pids.max": "10\n",
      "/sys/fs/cgroup/pids/x/pids.current": "4\n",
    ])
    #expect(facts.memoryMaxima?.count == 3)
    #expect(
      facts.memoryMaxima?.tightest?.path == "/sys/fs/cgroup/memory/x/memory.limit_in_bytes")
    #expect(facts.memoryHighs == [])
    let diagnosis = Diagnosis(.million, facts)
    #expect(diagnosis["memory.max"].status == .fine)
    let threads = diagnosis["pids.max"]
    #expect(threads.status == .low)
    #expect(threads.needed == 2 + Figures.threadsFixed + 4)
    #expect(threads.presentText == "10 (4 in use, /sys/fs/cgroup/pids/x/pids.max)")
  }

  @Test("both versions at once, the second in a directory of its own")
  func hybrid() throws {
    let facts = try FakeSystem.read([
      "/proc/self/cgroup": "4:memory:/x\n0::/y\n",
      "/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "5\n",
      "/sys/fs/cgroup/unified/y/memory.max": "7\n",
    ])
    #expect(facts.memoryMaxima?.map(\.limit) == [.number(5), .number(7)])
  }

  @Test("a container that sees its group as the root, whatever path the kernel tells")
  func container() throws {
    for path in ["/", "/docker/0123", "/../outside"] {
      let facts = try FakeSystem.read([
        "/proc/self/cgroup": "0::\(path)\n",
        "/sys/fs/cgroup/cgroup.controllers": "",
        "/sys/fs/cgroup/memory.max": "1073741824\n",
      ])
      #expect(facts.memoryMaxima?.tightest?.limit == .number(1 << 30))
      let finding = Diagnosis(.million, facts)["memory.max"]
      #expect(finding.status == .low)
      #expect(finding.remedies.last?.text.contains("220,000 quiet clients") == true)
    }
  }

  @Test("a limit that makes no sense is unknown, unless another bites")
  func garbage() throws {
    let path = "/sys/fs/cgroup/system.slice/bifrost.service/memory.max"
    let finding = Diagnosis(.million, try FakeSystem.facts([path: "lots\n"]))["memory.max"]
    #expect(finding.status == .unknown)
    #expect(finding.presentText == "not understood: 'lots' (\(path))")
    let both = try FakeSystem.facts([
      path: "lots\n", "/sys/fs/cgroup/system.slice/memory.max": "4096\n",
    ])
    #expect(Diagnosis(.million, both)["memory.max"].status == .low)
  }

  @Test("lines that are none are passed over")
  func lines() throws {
    let facts = try FakeSystem.read(["/proc/self/cgroup": "\n::\nmemory\n4:memory\n:memory:/a\n"])
    #expect(facts.memoryMaxima == [])
    #expect(Diagnosis(.million, facts)["memory.max"].presentText == "unlimited")
  }

  @Test("more threads in use than allowed leaves no room, and not less")
  func overfull() {
    let limit = GroupLimit(path: "p", limit: .number(5), inUse: .number(9))
    #expect(limit.room == 0)
    #expect([limit, GroupLimit(path: "q", limit: .number(3))].tightest == limit)
  }

  @Test("memory.high slows down from there on")
  func high() throws {
    let path = "/sys/fs/cgroup/system.slice/memory.high"
    let finding = Diagnosis(.million, try FakeSystem.facts([path: "1000000000"]))["memory.high"]
    #expect(finding.status == .low)
    #expect(finding.needed == 25_000_000 + 256_000_000 + 4_400_000_000)
  }
}

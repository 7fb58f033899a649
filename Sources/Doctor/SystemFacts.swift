import Glibc

/// What this machine allows and has, as far as it tells: values only, so that judging them needs no
/// machine.
public struct SystemFacts: Sendable, Equatable {
  /// Bytes of a page.
  public var pageBytes: UInt64 = 4096

  // MARK: This process (`/proc/self/limits`)

  /// Descriptors, soft limit.
  public var openFilesSoft = Reading.missing
  /// Descriptors, hard limit.
  public var openFilesHard = Reading.missing
  /// Bytes of addresses, soft limit.
  public var addressSpace = Reading.missing
  /// Bytes of private writable memory, reserved addresses included; soft limit.
  public var dataSize = Reading.missing

  // MARK: Files (`/proc/sys/fs`)

  /// `fs.nr_open`: the largest limit on descriptors that can be set.
  public var openFilesMost = Reading.missing
  /// `fs.file-max`: open files of the whole machine.
  public var filesMost = Reading.missing
  /// `fs.file-nr`: how many there are now.
  public var filesInUse = Reading.missing
  /// `fs.epoll.max_user_watches`: descriptors in epolls, for each user.
  public var watchesMost = Reading.missing

  // MARK: Network (`/proc/sys/net`)

  /// `net.ipv4.tcp_mem`, the third number: pages of buffers from which TCP drops.
  public var tcpPages = Reading.missing
  /// `net.core.somaxconn`: connections that wait at a listening socket.
  public var acceptQueue = Reading.missing
  /// `net.ipv4.tcp_max_syn_backlog`: handshakes under way at a listening socket.
  public var synQueue = Reading.missing
  /// `net.ipv4.tcp_syncookies`: 0 is off.
  public var synCookies = Reading.missing
  /// How many ports `net.ipv4.ip_local_port_range` has.
  public var localPorts = Reading.missing
  /// `net.netfilter.nf_conntrack_max`; missing where the module is not loaded.
  public var trackedMost = Reading.missing
  /// `net.netfilter.nf_conntrack_count`.
  public var trackedNow = Reading.missing

  // MARK: Memory (`/proc/sys/vm`, `/proc/meminfo`)

  /// `vm.overcommit_memory`: 0 to 2.
  public var overcommit = Reading.missing
  /// `vm.max_map_count`: mappings of one process.
  public var mappingsMost = Reading.missing
  /// Bytes of memory of the machine.
  public var memoryTotal = Reading.missing
  /// Bytes of memory that programs could have without swapping.
  public var memoryAvailable = Reading.missing

  // MARK: Control groups; nil where the system does not tell in which this process is

  /// Limits on memory, in bytes, from this process's group up to the root.
  public var memoryMaxima: [GroupLimit]?
  /// Limits on memory from which a group is slowed down, in bytes.
  public var memoryHighs: [GroupLimit]?
  /// Limits on threads.
  public var threadMaxima: [GroupLimit]?

  /// A machine that tells nothing.
  init() {}

  /// Reads what the system shows; what can't be read is `missing`.
  /// - Parameter root: the directory that has `proc` and `sys`: `/`, but for tests.
  public init(root: String) {
    let files = SystemFiles(root: root)
    pageBytes = UInt64(sysconf(Int32(_SC_PAGESIZE)))

    let limits = files.text("/proc/self/limits")
    openFilesSoft = SystemFacts.limit(limits, "Max open files", column: 0)
    openFilesHard = SystemFacts.limit(limits, "Max open files", column: 1)
    addressSpace = SystemFacts.limit(limits, "Max address space", column: 0)
    dataSize = SystemFacts.limit(limits, "Max data size", column: 0)

    openFilesMost = Reading(files.setting("fs.nr_open"))
    filesMost = Reading(files.setting("fs.file-max"))
    filesInUse = Reading(files.setting("fs.file-nr"), column: 0, of: 3)
    watchesMost = Reading(files.setting("fs.epoll.max_user_watches"))

    tcpPages = Reading(files.setting("net.ipv4.tcp_mem"), column: 2, of: 3)
    acceptQueue = Reading(files.setting("net.core.somaxconn"))
    synQueue = Reading(files.setting("net.ipv4.tcp_max_syn_backlog"))
    synCookies = Reading(files.setting("net.ipv4.tcp_syncookies"))
    localPorts = SystemFacts.portCount(files.setting("net.ipv4.ip_local_port_range"))
    trackedMost = Reading(files.setting("net.netfilter.nf_conntrack_max"))
    trackedNow = Reading(files.setting("net.netfilter.nf_conntrack_count"))

    overcommit = Reading(files.setting("vm.overcommit_memory"))
    mappingsMost = Reading(files.setting("vm.max_map_count"))
    let memory = files.text("/proc/meminfo")
    memoryTotal = SystemFacts.kibibytes(memory, "MemTotal:")
    memoryAvailable = SystemFacts.kibibytes(memory, "MemAvailable:")

    let groups = ControlGroups(files)
    memoryMaxima = groups?.limits(controller: "memory", "memory.max", "memory.limit_in_bytes")
    memoryHighs = groups?.limits(controller: "memory", "memory.high", nil)
    threadMaxima = groups?.limits(
      controller: "pids", "pids.max", "pids.max", inUse: "pids.current")
  }

  // MARK: Parsing

  /// A line of `/proc/self/limits`: its name, the soft limit, the hard one, and perhaps a unit.
  static func limit(_ text: String?, _ name: String, column: Int) -> Reading {
    guard let line = text?.split(separator: "\n").first(where: { $0.hasPrefix(name) }) else {
      return .missing
    }
    let words = Reading.words(String(line.dropFirst(name.count)))
    guard words.count >= 2 else { return .garbage(words.joined(separator: " ")) }
    return Reading(word: words[column])
  }

  /// A line of `/proc/meminfo`, in bytes.
  static func kibibytes(_ text: String?, _ name: String) -> Reading {
    guard let line = text?.split(separator: "\n").first(where: { $0.hasPrefix(name) }) else {
      return .missing
    }
    let words = Reading.words(String(line.dropFirst(name.count)))
    guard words.count == 2 && words[1] == "kB" else {
      return .garbage(words.joined(separator: " "))
    }
    return Reading(word: words[0]).times(1024)
  }

  /// How many ports lie between two, both included.
  static func portCount(_ text: String?) -> Reading {
    let first = Reading(text, column: 0, of: 2)
    let last = Reading(text, column: 1, of: 2)
    guard let low = first.value else { return first }
    guard let high = last.value else { return last }
    return low <= high && high <= 65_535 ? .number(high - low + 1) : .garbage("\(low) \(high)")
  }
}

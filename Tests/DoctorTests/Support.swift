import Glibc

@testable import Doctor

/// A directory with the files of `/proc` and `/sys` that a test wants, removed with the value.
final class FakeSystem {
  let root: String
  /// What was made, in this order.
  private var files: [String] = []
  private var directories: [String] = []

  struct Failure: Error {}

  init(_ contents: [String: String]) throws {
    var template = Array("/tmp/bifrost-doctor-XXXXXX".utf8CString)
    // Safe: mkdtemp writes within the terminated template.
    guard unsafe mkdtemp(&template) != nil else { throw Failure() }
    root = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    for (path, text) in contents { try put(path, Array(text.utf8)) }
  }

  func put(_ path: String, _ bytes: [UInt8]) throws {
    var directory = root
    for name in path.split(separator: "/").dropLast() {
      directory += "/" + name
      if unsafe mkdir(directory, 0o700) == 0 { directories.append(directory) }
    }
    // Safe: fopen and fwrite get a terminated path and initialized bytes.
    guard let file = unsafe fopen(root + path, "w") else { throw Failure() }
    let written = unsafe fwrite(bytes, 1, bytes.count, file)
    guard unsafe fclose(file) == 0, written == bytes.count else { throw Failure() }
    files.append(root + path)
  }

  deinit {
    for file in files { _ = unsafe unlink(file) }
    for directory in directories.reversed() { _ = unsafe rmdir(directory) }
    _ = unsafe rmdir(root)
  }

  /// The files of a machine with 64 GiB on which a million connections need nothing changed.
  static let ample: [String: String] = [
    "/proc/self/limits": """
    Limit                     Soft Limit           Hard Limit           Units     
    Max cpu time              unlimited            unlimited            seconds   
    Max data size             unlimited            unlimited            bytes     
    Max open files            1024                 3000000              files     
    Max address space         unlimited            unlimited            bytes     
    Max nice priority         0                    0                    

    """,
    "/proc/self/cgroup": "0::/system.slice/bifrost.service\n",
    "/proc/meminfo": "MemTotal:       67108864 kB\nMemFree: 1 kB\nMemAvailable:   62914560 kB\n",
    "/proc/sys/fs/nr_open": "3000000\n",
    "/proc/sys/fs/file-max": "9223372036854775807\n",
    "/proc/sys/fs/file-nr": "2048\t0\t9223372036854775807\n",
    "/proc/sys/fs/epoll/max_user_watches": "14000000\n",
    "/proc/sys/net/ipv4/tcp_mem": "766740\t1022322\t1533480\n",
    "/proc/sys/net/ipv4/tcp_max_syn_backlog": "4096\n",
    "/proc/sys/net/ipv4/tcp_syncookies": "1\n",
    "/proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "/proc/sys/net/core/somaxconn": "65535\n",
    "/proc/sys/net/netfilter/nf_conntrack_max": "2000000\n",
    "/proc/sys/net/netfilter/nf_conntrack_count": "17\n",
    "/proc/sys/vm/overcommit_memory": "0\n",
    "/proc/sys/vm/max_map_count": "65530\n",
    "/sys/fs/cgroup/cgroup.controllers": "cpu memory pids\n",
    "/sys/fs/cgroup/system.slice/memory.max": "max\n",
    "/sys/fs/cgroup/system.slice/memory.high": "max\n",
    "/sys/fs/cgroup/system.slice/pids.max": "max\n",
    "/sys/fs/cgroup/system.slice/pids.current": "90\n",
    "/sys/fs/cgroup/system.slice/bifrost.service/memory.max": "17179869184\n",
    "/sys/fs/cgroup/system.slice/bifrost.service/memory.high": "max\n",
    "/sys/fs/cgroup/system.slice/bifrost.service/pids.max": "1000\n",
    "/sys/fs/cgroup/system.slice/bifrost.service/pids.current": "3\n",
  ]

  /// The facts of a machine like `ample`, with some files replaced, or left out where nil.
  static func facts(_ changes: [String: String?] = [:]) throws -> SystemFacts {
    var contents = ample
    for (path, text) in changes { contents[path] = text }
    return try read(contents)
  }

  /// The facts of a machine with these files and no others.
  static func read(_ contents: [String: String]) throws -> SystemFacts {
    let system = try FakeSystem(contents)
    return withExtendedLifetime(system) { SystemFacts(root: system.root) }
  }
}

extension Diagnosis {
  /// The one check of a name, or of those that begin with it.
  subscript(name: String) -> Finding {
    let found = findings.filter { $0.name == name || $0.name.hasPrefix(name + " (") }
    precondition(found.count == 1, "\(found.count) checks of \(name)")
    return found[0]
  }
}

extension Demand {
  /// A million connections on two loops.
  static let million = Demand(connections: 1_000_000, loops: 2)
}

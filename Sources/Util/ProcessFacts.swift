import Glibc

/// Reads a small file of the system's; nil where it can't be read.
public func readFile(_ path: String) -> String? {
  let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
  guard file >= 0 else { return nil }
  defer { close(file) }
  var bytes: [UInt8] = []
  var part = [UInt8](repeating: 0, count: 16_384)
  // What is read here has a few kilobytes; anything without end would be somebody's mistake.
  while bytes.count < 1 << 20 {
    // Safe: the buffer has as many bytes as are asked for.
    let count = unsafe part.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress, $0.count) }
    if count < 0 && errno == EINTR { continue }
    guard count > 0 else { return count == 0 ? String(decoding: bytes, as: UTF8.self) : nil }
    bytes += part[..<count]
  }
  return String(decoding: bytes, as: UTF8.self)
}

/// Another process, or this one, as `/proc` shows it.
public struct ProcessFacts: Sendable {
  /// Its number.
  public let process: Int32

  /// The process with this number; it need not be there.
  public init(process: Int32) { self.process = process }

  /// This process.
  public static var own: ProcessFacts { ProcessFacts(process: getpid()) }

  /// Nanoseconds of CPU time of all its threads that are alive; nil where it is not there. Finer
  /// than the ticks of `/proc/PID/stat`.
  public var cpuNanoseconds: UInt64? {
    guard let threads = unsafe opendir("/proc/\(process)/task") else { return nil }
    defer { unsafe closedir(threads) }
    var total: UInt64 = 0
    while let entry = unsafe readdir(threads) {
      // Safe: the name is a C string inside the entry, which lives until the next one is read.
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
        unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      guard Int(name) != nil, let text = readFile("/proc/\(process)/task/\(name)/schedstat"),
        let first = text.split(separator: " ").first, let time = UInt64(first)
      else { continue }
      total += time
    }
    return total
  }

  /// What a process has written since it began.
  public struct Writes: Sendable {
    /// Bytes of pages that it made the system write to disks.
    public var disk: UInt64
    /// Bytes of its calls of `write` and its kind, wherever to.
    public var calls: UInt64
  }

  /// What it has written; nil where it is not there, or another user's.
  public var writes: Writes? {
    guard let text = readFile("/proc/\(process)/io") else { return nil }
    var found: [Substring: UInt64] = [:]
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: " ")
      if parts.count == 2 { found[parts[0]] = UInt64(parts[1]) }
    }
    guard let disk = found["write_bytes:"], let calls = found["wchar:"] else { return nil }
    return Writes(disk: disk, calls: calls)
  }

  /// Bytes of memory that it has; nil where it is not there.
  public var residentBytes: UInt64? { memory?.resident }

  /// Bytes of memory that it has, and how many of them are pages of files, such as the program's own;
  /// nil where it is not there.
  public var memory: (resident: UInt64, files: UInt64)? {
    guard let text = readFile("/proc/\(process)/statm") else { return nil }
    let fields = text.split(separator: " ")
    guard fields.count > 2, let pages = UInt64(fields[1]), let shared = UInt64(fields[2]) else {
      return nil
    }
    let page = UInt64(sysconf(Int32(_SC_PAGESIZE)))
    return (pages * page, shared * page)
  }
}

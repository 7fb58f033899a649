import Glibc

/// Lines on their way to a descriptor, gathered to large writes.
struct LineOutput: ~Copyable {
  private let descriptor: Int32
  private var pending: [UInt8] = []
  /// Whether all could be written so far.
  private(set) var isWritten = true

  /// Bytes that one write takes.
  private static let writeBytes = 64 << 10

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  /// Adds a line; false once nothing more can be written.
  mutating func put(_ line: String) -> Bool {
    pending += line.utf8
    pending.append(0x0A)
    return pending.count < LineOutput.writeBytes || flush()
  }

  /// Writes what was gathered.
  mutating func flush() -> Bool {
    isWritten = isWritten && write(pending, to: descriptor)
    pending.removeAll(keepingCapacity: true)
    return isWritten
  }
}

/// A file that comes to its name when it is whole and on the disk, in the place of one that is there.
struct WholeFile: ~Copyable {
  private let path: String
  private let temporary: String
  let descriptor: Int32

  /// Nil where it can't be made; `errno` says why.
  init?(_ path: String) {
    self.path = path
    temporary = path + ".part"
    let opened = unsafe open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
    guard opened >= 0 else { return nil }
    descriptor = opened
  }

  deinit { close(descriptor) }

  /// False where it does not come to the disk, or to its name.
  func finish() -> Bool {
    guard fsync(descriptor) == 0, unsafe rename(temporary, path) == 0 else { return false }
    let end = path.lastIndex(of: "/")
    let directory = end.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    let opened = unsafe open(directory, O_RDONLY | O_CLOEXEC)
    guard opened >= 0 else { return false }
    defer { close(opened) }
    return fsync(opened) == 0
  }

  /// Takes away what was written.
  func discard() { unsafe unlink(temporary) }
}

/// The lines of a descriptor, one after the other.
struct LineInput: ~Copyable {
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  /// Where in the buffer the next line begins, and up to where no end of it was found.
  private var start = 0
  private var searched = 0
  private var isAtEnd = false
  /// The number of the line that came last.
  private(set) var number = 0

  private static let readBytes = 256 << 10
  /// The longest line: that of the largest message that MQTT can carry, in base64 or with every second
  /// byte escaped.
  static let maximumBytes = 640 << 20

  /// Why there is no further line.
  enum Failure: Error {
    /// The error number of a read.
    case read(Int32)
    case tooLong
  }

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  /// The next line without its end; nil behind the last.
  mutating func next() throws(Failure) -> [UInt8]? {
    while true {
      if let end = buffer[searched...].firstIndex(of: 0x0A) {
        number += 1
        defer {
          start = end + 1
          searched = start
        }
        return Array(buffer[start..<end])
      }
      searched = buffer.count
      if isAtEnd {
        guard start < buffer.count else { return nil }
        number += 1
        defer { start = buffer.count }
        return Array(buffer[start...])
      }
      guard buffer.count - start <= LineInput.maximumBytes else { throw .tooLong }
      try fill()
    }
  }

  private mutating func fill() throws(Failure) {
    buffer.removeFirst(start)
    searched -= start
    start = 0
    let old = buffer.count
    buffer += repeatElement(0, count: LineInput.readBytes)
    while true {
      // Safe: the buffer has as many bytes behind the old ones as are asked for.
      let count = unsafe buffer.withUnsafeMutableBytes {
        unsafe read(descriptor, $0.baseAddress! + old, LineInput.readBytes)
      }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw .read(errno) }
      buffer.removeLast(LineInput.readBytes - count)
      isAtEnd = count == 0
      return
    }
  }
}

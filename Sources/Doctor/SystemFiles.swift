import Glibc

/// The small files in which the kernel shows its settings, under a root that tests replace.
struct SystemFiles {
  /// A file that is longer is not one of those meant here.
  private static var mostBytes: Int { 1 << 20 }

  private let root: String

  /// - Parameter root: the directory that stands for `/`.
  init(root: String) {
    self.root = root.hasSuffix("/") ? String(root.dropLast()) : root
  }

  /// The text of a file; nil where it can't be read. What is no UTF-8 is replaced.
  func text(_ path: String) -> String? {
    let file = unsafe open(root + path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 16_384)
    while bytes.count < SystemFiles.mostBytes {
      // Safe: the buffer has as many bytes as are asked for.
      let count = unsafe part.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { return nil }
      if count == 0 { break }
      bytes += part[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// A setting of the kernel's by its name with dots.
  func setting(_ name: String) -> String? {
    text("/proc/sys/" + String(name.map { $0 == "." ? "/" : $0 }))
  }
}

import Glibc

/// Files in a directory of its own, removed with the value.
final class TestFiles {
  private let directory: String
  private var names: [String] = []

  struct Failure: Error {}

  init() throws {
    var template = Array("/tmp/bifrost-grpc-XXXXXX".utf8CString)
    // Safe: mkdtemp writes within the terminated template.
    guard unsafe mkdtemp(&template) != nil else { throw Failure() }
    directory = String(
      decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Writes a file, and gives its path.
  func path(_ name: String, _ text: String) throws -> String {
    let path = "\(directory)/\(name)"
    // Safe: terminated strings and initialized bytes.
    guard let file = unsafe fopen(path, "w") else { throw Failure() }
    names.append(path)
    let bytes = Array(text.utf8)
    let written = unsafe fwrite(bytes, 1, bytes.count, file)
    guard unsafe fclose(file) == 0, written == bytes.count else { throw Failure() }
    return path
  }

  deinit {
    for name in names { _ = unsafe unlink(name) }
    _ = unsafe rmdir(directory)
  }
}

/// A directory of its own, removed with all that is in it.
final class TestDirectory {
  let path: String

  init() throws {
    var template = Array("/tmp/bifrost-grpc-XXXXXX".utf8CString)
    // Safe: mkdtemp writes within the terminated template.
    guard unsafe mkdtemp(&template) != nil else { throw TestFiles.Failure() }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    // Safe: terminated strings; the entries are copied before the next call.
    if let directory = unsafe opendir(path) {
      var names: [String] = []
      while let entry = unsafe readdir(directory) {
        let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
          unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
        }
        if name != "." && name != ".." { names.append(name) }
      }
      _ = unsafe closedir(directory)
      for name in names { _ = unsafe unlink("\(path)/\(name)") }
    }
    _ = unsafe rmdir(path)
  }
}

import Glibc

/// Writes to standard error, past any buffer.
enum StandardError {
  /// Writes a text with one write(2), so that lines of several threads do not mix; what a full
  /// pipe does not take at once is written by further calls, and given up where it takes none.
  static func write(_ text: String) {
    var text = text
    text.withUTF8 { bytes in
      var offset = 0
      while offset < bytes.count {
        // Safe: the rest lies within the buffer, which outlives the call.
        let rest = unsafe UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[offset...])
        let count = unsafe Glibc.write(STDERR_FILENO, rest.baseAddress, rest.count)
        if count > 0 {
          offset += count
        } else if count == 0 || errno != EINTR {
          return
        }
      }
    }
  }
}

/// The variables that the process was started with.
enum Environment {
  /// Name and value of each; where a name stands twice, the first counts, as getenv(3) has it.
  static var variables: [String: String] {
    var result: [String: String] = [:]
    // Safe: the list ends with a null pointer, and nothing in this process changes it.
    var next = unsafe environ
    while let entry = unsafe next.pointee {
      let text = unsafe String(cString: entry)
      unsafe next += 1
      guard let equals = text.firstIndex(of: "=") else { continue }
      let name = String(text[..<equals])
      if result[name] == nil { result[name] = String(text[text.index(after: equals)...]) }
    }
    return result
  }
}

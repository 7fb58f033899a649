import Glibc

/// The process that holds a data directory: a broker, or an import. Nil where none does, or none that
/// can be seen from here. It takes no lock to find out, so that no broker that starts just then is
/// refused.
public func storeHolder(directory: String) -> Int32? {
  var facts = Glibc.stat()
  guard unsafe stat(directory + "/bifrost.lock", &facts) == 0,
    let file = unsafe fopen("/proc/locks", "re")
  else { return nil }
  defer { unsafe fclose(file) }
  var line: UnsafeMutablePointer<CChar>?
  var capacity = 0
  defer { unsafe free(line) }
  while unsafe getline(&line, &capacity, file) > 0 {
    guard let text = unsafe line else { break }
    // 1: FLOCK  ADVISORY  WRITE 4711 fe:01:123456 0 EOF
    let words = unsafe String(cString: text).split(separator: " ")
    guard words.count > 5, words[1] == "FLOCK", words[3] == "WRITE",
      words[5].split(separator: ":").last.flatMap({ UInt64($0) }) == UInt64(facts.st_ino)
    else { continue }
    return Int32(words[4])
  }
  return nil
}

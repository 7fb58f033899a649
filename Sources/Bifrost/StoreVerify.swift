import ArgumentParser
import Glibc
import StoreSQLite

/// `bifrost store verify`: says whether a store is sound.
struct StoreVerify: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check a store: the file, and whether its tables agree.",
    discussion: """
      Reads all of it, as it is at one moment, and changes nothing. Writes a line for
      each finding; the status is 65 if there is one. A notice is none: it says what
      may be so, such as a message that expired while it was in flight.
      """)

  @OptionGroup var store: StoreArguments

  func run() throws {
    let count = try store.run { directory in
      try StoreReader(directory: directory).verify {
        write("\($0.isNotice ? "notice" : "finding"): \($0.text)\n", to: STDOUT_FILENO)
      }
    }
    try put(count == 0 ? "sound\n" : amount(count, "finding") + "\n")
    if count > 0 { throw ExitCode(EX_DATAERR) }
  }
}

/// `bifrost store compact`: gives free space back.
struct StoreCompact: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compact",
    abstract: "Give the free pages of a store back to the file system.",
    discussion: """
      A broker that runs goes on: it waits for some milliseconds now and then. What is
      free inside of pages stays.
      """)

  @OptionGroup var store: StoreArguments

  func run() throws {
    let result = try store.run { try compactStore(directory: $0) }
    let before = result.fileBytesBefore + result.logFileBytesBefore
    let after = result.fileBytesAfter + result.logFileBytesAfter
    var text = "\(before - min(before, after)) bytes given back: \(before) before, \(after) now\n"
    if result.freePagesAfter > 0 {
      text += "\(result.freePagesAfter * result.pageBytes) bytes are free still\n"
    }
    if !result.isComplete {
      text += "the write-ahead log is in use: some are given back when its readers have ended\n"
    }
    try put(text)
  }
}

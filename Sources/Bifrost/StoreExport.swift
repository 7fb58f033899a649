import ArgumentParser
import Glibc
import StoreSQLite

/// `bifrost store export`: writes all of a store as lines.
struct StoreExport: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write a store as lines of JSON.",
    discussion: """
      Writes it as it is at one moment, also while a broker runs: what that commits
      later is not in it. docs/STORE.md describes the lines.
      """)

  @OptionGroup var store: StoreArguments
  @Option(
    help: ArgumentHelp(
      "Write this file, once it is whole, instead of standard output.", valueName: "file"))
  var output: String?

  func run() throws {
    try store.run { directory in
      let reader = try StoreReader(directory: directory)
      guard let output else {
        guard try export(reader, to: STDOUT_FILENO) else {
          throw fail("cannot write to standard output", EX_IOERR)
        }
        return
      }
      guard let file = WholeFile(output) else {
        throw fail("cannot make \(output): \(Self.reason)", EX_CANTCREAT)
      }
      do {
        guard try export(reader, to: file.descriptor), file.finish() else {
          throw fail("cannot write \(output): \(Self.reason)", EX_IOERR)
        }
      } catch {
        file.discard()
        throw error
      }
    }
  }

  private func export(_ reader: StoreReader, to descriptor: Int32) throws(StoreToolError) -> Bool {
    var output = LineOutput(descriptor)
    try reader.export { output.put($0.line) }
    return output.flush()
  }

  private static var reason: String { unsafe String(cString: strerror(errno)) }
}

/// `bifrost store import`: makes a store of the lines.
struct StoreImport: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Make a store of what export wrote.",
    discussion: """
      For a data directory without a store, or with an empty one, that no broker has.
      Takes all or nothing; a line that is wrong is named.
      """)

  @OptionGroup var store: StoreArguments
  @Argument(help: "The file; - for standard input.") var file: String

  func run() throws {
    let descriptor = file == "-" ? STDIN_FILENO : unsafe open(file, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw fail("cannot read \(file): \(unsafe String(cString: strerror(errno)))", EX_NOINPUT)
    }
    let name = file == "-" ? "standard input" : file
    var lines = LineInput(descriptor)
    try store.run { directory in
      let importer = try StoreImporter(directory: directory)
      do {
        while let line = try lines.next() { try importer.add(try StoreItem(line: line)) }
      } catch let error as LineError {
        throw fail("\(name), line \(lines.number): \(error.message)", EX_DATAERR)
      } catch let error as StoreToolError where error.kind == .invalid {
        throw fail("\(name), line \(lines.number): \(error.message)", EX_DATAERR)
      } catch LineInput.Failure.read(let code) {
        throw fail("cannot read \(name): \(unsafe String(cString: strerror(code)))", EX_IOERR)
      } catch LineInput.Failure.tooLong {
        throw fail(
          "\(name), line \(lines.number + 1): longer than \(LineInput.maximumBytes) bytes",
          EX_DATAERR)
      }
      do {
        try importer.finish()
      } catch let error as StoreToolError where error.kind == .invalid {
        throw fail("\(name), after line \(lines.number): \(error.message)", EX_DATAERR)
      }
    }
  }
}

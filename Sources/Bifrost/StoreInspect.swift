import ArgumentParser
import Bench
import Glibc
import Store
import StoreSQLite

/// `bifrost store inspect`: shows what is in a store.
struct StoreInspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show what is in a store.",
    discussion: """
      Reads the store as it is at one moment and changes nothing. The lists are lines
      of JSON, however long they are.
      """)

  /// What is listed.
  enum List: String, EnumerableFlag {
    case sessions, filters, retained

    static func help(for value: List) -> ArgumentHelp? {
      switch value {
      case .sessions: "List the sessions."
      case .filters: "List the filters that sessions subscribe to."
      case .retained: "List the topics of retained messages."
      }
    }
  }

  @OptionGroup var store: StoreArguments
  @Option(help: ArgumentHelp("Show the session of this client.", valueName: "id"))
  var client: String?
  @Flag(exclusivity: .exclusive) var list: List?
  @Flag(help: "Write JSON.") var json = false

  func validate() throws {
    guard client == nil || list == nil else {
      throw ValidationError("--client and a list exclude each other")
    }
  }

  func run() throws {
    try store.run { directory in
      let reader = try StoreReader(directory: directory)
      if let list { return try write(list, of: reader) }
      guard let client else {
        let summary = try reader.summary()
        let report = StoreReport(
          summary, path: reader.path, process: storeHolder(directory: directory))
        return try put(json ? report.json.text + "\n" : report.text)
      }
      guard let session = try reader.session(of: Array(client.utf8)) else {
        throw fail("the store has no session of '\(client)'", EX_NOINPUT)
      }
      try put(json ? session.json.text + "\n" : session.text)
    }
  }

  private func write(_ list: List, of reader: StoreReader) throws {
    var output = LineOutput(STDOUT_FILENO)
    switch list {
    case .sessions: try reader.forEachSession { output.put($0.json.line) }
    case .filters: try reader.forEachFilter { output.put($0.json.line) }
    case .retained: try reader.forEachRetained { output.put($0.json.line) }
    }
    guard output.flush() else { throw fail("cannot write to standard output", EX_IOERR) }
  }
}

extension SessionLine {
  fileprivate var json: JSONValue {
    .object(
      [Member.bytes("client", client)] + presence.members + [
        ("subscriptions", .integer(subscriptions)), ("in_flight", .integer(inFlight)),
        ("inbound", .integer(inbound)), ("cursor", .integer(cursor)),
      ])
  }
}

extension FilterLine {
  fileprivate var json: JSONValue {
    .object([
      Member.bytes("filter", filter), ("subscriptions", .integer(subscriptions)),
      ("readers", .integer(readers)),
    ])
  }
}

extension RetainedLine {
  fileprivate var json: JSONValue {
    .object(
      [
        Member.bytes("topic", topic), ("qos", .integer(UInt64(qos))),
        ("payload_bytes", .integer(payloadBytes)),
      ] + Member.number("expires_at", expiresAt))
  }
}

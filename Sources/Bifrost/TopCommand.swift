import ArgumentParser
import Client
import Glibc
import Packet

/// `bifrost top`: shows what a running broker does and where its memory is.
struct TopCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top",
    abstract: "Show what a broker does and where its memory is.",
    discussion: """
      Reads the broker's $SYS topics, as any client may, and shows them anew each
      time they are published: every sys.interval of the broker. Ends with SIGINT.
      The bytes of each kind are what the broker counts as it allocates; docs/MEMORY.md
      explains them.
      """,
    helpNames: .long)

  @OptionGroup var client: ClientArguments
  @Flag(help: "Show the present state once, and end.") var once = false
  @Flag(help: "Write all values once as JSON, and end.") var json = false

  func run() throws {
    let properties = try client.namedProperties([.connect, .disconnect])
    let runner = try client.client(try client.connectPacket(properties), reconnects: !once && !json)
    // A broker that does not answer, or publishes nothing, ends nothing by itself.
    if once || json { runner.setTimeLimit(seconds: 5) }
    let viewer = Viewer(self)
    let outcome = runner.run(viewer)
    if outcome == .timedOut && viewer.hasSeenNothing {
      client.complain(Viewer.nothing)
      throw ExitCode(EX_UNAVAILABLE)
    }
    if let error = viewer.error {
      client.complain(error)
      throw ExitCode(EX_UNAVAILABLE)
    }
    try client.conclude(outcome)
  }
}

/// Gathers what the broker says, and draws it.
private final class Viewer: ClientDelegate {
  let command: TopCommand
  /// Why there is nothing to show.
  var error: String?
  private var snapshot = SystemSnapshot()
  static let nothing = "the broker publishes no $SYS topics; this one does unless sys.interval is 0"
  /// Whether the broker has published nothing of itself.
  var hasSeenNothing: Bool { snapshot.values.isEmpty }
  /// Whether the retained values are all here.
  private var isComplete = false
  private let isTerminal = isatty(STDOUT_FILENO) == 1

  init(_ command: TopCommand) { self.command = command }

  func handle(_ event: ClientEvent, _ client: ClientRunner) {
    switch event {
    case .connected:
      isComplete = false
      use(client) { session, out throws(ClientError) in
        let filter = SubscribePacket.Filter(
          Array("\(SystemSnapshot.prefix)#".utf8), SubscriptionOptions(qos: .atMostOnce))
        try session.subscribe([filter], into: &out)
      }
    case .subscribed(_, let reasons):
      guard reasons.allSatisfy({ !$0.isError }) else {
        error = "the broker does not let this client read its $SYS topics"
        return client.finish()
      }
      // Its answer comes behind the retained values.
      use(client) { session, out throws(ClientError) in session.ping(into: &out) }
    case .message(let message):
      let name = snapshot.take(topic: message.topic, payload: message.payload)
      if isComplete && name == SystemSnapshot.last { show(client) }
    case .pong where !isComplete:
      isComplete = true
      if snapshot.hasLedger {
        show(client)
      } else if !snapshot.values.isEmpty {
        error = "the broker publishes no ledger of its memory: it is not this program's"
        client.finish()
      } else if !command.once && !command.json {
        // One that was started a moment ago will.
        command.client.complain("\(Viewer.nothing); waiting")
      }
    default: break
    }
  }

  func drained(_ client: ClientRunner) {}

  private func use(
    _ client: ClientRunner,
    _ body: (inout ClientSession, inout [UInt8]) throws(ClientError) -> Void
  ) {
    do throws(ClientError) {
      try client.use(body)
    } catch {
      self.error = error.description
      client.finish()
    }
  }

  private func show(_ client: ClientRunner) {
    let text: String
    if command.json {
      text = snapshot.json.text + "\n"
    } else {
      let lines = snapshot.lines(broker: "\(command.client.host):\(command.client.port)")
      // Home, each line to its end, and what was below.
      let clears = isTerminal && !command.once
      text =
        (clears ? "\u{1B}[H" : "") + lines.map { $0 + (clears ? "\u{1B}[K\n" : "\n") }.joined()
        + (clears ? "\u{1B}[J" : command.once ? "" : "\n")
    }
    guard write(text, to: STDOUT_FILENO) else {
      error = "cannot write to standard output"
      return client.finish()
    }
    if command.once || command.json { client.finish() }
  }
}

import ArgumentParser
import Client
import Glibc
import Net
import Packet
import Util

/// `bifrost sub`: subscribes and prints, in the manner of mosquitto_sub.
struct SubCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sub",
    abstract: "Subscribe to topics of an MQTT broker and print the messages.",
    discussion: """
      Takes the letters of mosquitto_sub. Connects again where the connection is
      lost. Ends with 0 after -C messages, SIGINT or SIGTERM; with 27 when the time
      of -W is over before; with 64, 69, 77 or 1 as 'bifrost pub' does.
      """,
    helpNames: .long)

  @OptionGroup var client: ClientArguments
  @Option(name: [.customShort("t"), .long], help: "Topic filter; may be given several times.")
  var topic: [String]
  @Option(name: [.customShort("U"), .long], help: "Topic filter to unsubscribe from at first.")
  var unsubscribe: [String] = []
  @Option(name: [.customShort("q"), .long], help: "Highest QoS.") var qos = QoSArgument()
  @Option(name: .customShort("C"), help: "End after so many messages.") var count: Int?
  @Option(name: .customShort("W"), help: "End after so many seconds.") var seconds: UInt32?
  @Flag(name: [.customShort("v"), .long], help: "Print the topic before the message.")
  var verbose = false
  @Flag(name: .customShort("N"), help: "Print no line end behind a message.") var noLineEnd = false
  @Flag(name: .customShort("R"), help: "Print no message that was retained.")
  var noRetained = false
  @Flag(help: "Print retained messages only.") var retainedOnly = false
  @Flag(name: .customShort("E"), help: "End when the subscriptions are made.")
  var endsWhenSubscribed = false
  @Flag(help: "MQTT 5: no messages of this client's own.") var noLocal = false
  @Flag(help: "MQTT 5: leave the retain flag as it was published.") var retainAsPublished = false
  @Option(help: "MQTT 5: 0 for retained messages always, 1 if the subscription is new, 2 never.")
  var retainHandling: UInt8 = 0

  func validate() throws {
    for filter in topic + unsubscribe where !validateTopicFilter(Array(filter.utf8).span) {
      throw ValidationError("not a topic filter: \(filter)")
    }
    guard count ?? 1 >= 1 else { throw ValidationError("-C is 1 or more") }
    guard seconds ?? 1 >= 1 && seconds ?? 1 <= 100_000_000 else {
      throw ValidationError("-W is 1 to 100,000,000 seconds")
    }
    guard retainHandling <= 2 else { throw ValidationError("--retain-handling is 0, 1 or 2") }
    guard client.version == .v5 || !(noLocal || retainAsPublished || retainHandling != 0) else {
      throw ValidationError("--no-local and the like need -V 5")
    }
    guard !(noRetained && retainedOnly) else {
      throw ValidationError("-R and --retained-only leave nothing")
    }
  }

  func run() throws {
    let properties = try client.namedProperties([
      .connect, .subscribe, .unsubscribe, .will, .disconnect,
    ])
    let packet = try client.connectPacket(properties)
    let runner = try client.client(packet, reconnects: true)
    if let seconds { runner.setTimeLimit(seconds: seconds) }
    let options = SubscriptionOptions(
      qos: qos.value, noLocal: noLocal, retainAsPublished: retainAsPublished,
      retainHandling: SubscriptionOptions.RetainHandling(rawValue: retainHandling) ?? .send)
    let printer = Printer(
      self, topic.map { SubscribePacket.Filter(Array($0.utf8), options) }, properties)
    let outcome = runner.run(printer)
    if let error = printer.error {
      client.complain(error)
      throw ExitCode.failure
    }
    try client.conclude(outcome)
  }
}

/// Subscribes with each connection, and prints what comes.
private final class Printer: ClientDelegate {
  let command: SubCommand
  let filters: [SubscribePacket.Filter]
  let properties: NamedProperties
  /// Why there is no point in going on.
  var error: String?
  private var left: Int?

  init(
    _ command: SubCommand, _ filters: [SubscribePacket.Filter], _ properties: NamedProperties
  ) {
    self.command = command
    self.filters = filters
    self.properties = properties
    left = command.count
  }

  func handle(_ event: ClientEvent, _ client: ClientRunner) {
    switch event {
    case .connected: subscribe(client)
    case .subscribed(_, let reasons):
      for (filter, reason) in zip(filters, reasons) where reason.isError {
        command.client.complain(
          "no subscription to \(String(decoding: filter.filter, as: UTF8.self)): \(reason)")
      }
      if reasons.allSatisfy(\.isError) {
        error = "the server granted no subscription"
        client.finish()
      } else if command.endsWhenSubscribed {
        client.finish(.finished, properties.disconnect)
      }
    case .message(let message): print(message, client)
    default: break
    }
  }

  func drained(_ client: ClientRunner) {}

  private func subscribe(_ client: ClientRunner) {
    do throws(ClientError) {
      try client.use { session, out throws(ClientError) in
        if !command.unsubscribe.isEmpty {
          try session.unsubscribe(command.unsubscribe.map { Array($0.utf8) }, into: &out)
        }
        try session.subscribe(
          filters, identifier: properties.subscriptionIdentifier,
          userProperties: properties.userProperties(.subscribe), into: &out)
      }
    } catch {
      self.error = error.description
      client.finish()
    }
  }

  private func print(_ message: IncomingMessage, _ client: ClientRunner) {
    if message.retain ? command.noRetained : command.retainedOnly { return }
    var line: [UInt8] = []
    if command.verbose { line += message.topic + [0x20] }
    line += message.payload
    if !command.noLineEnd { line.append(0x0A) }
    guard write(line, to: STDOUT_FILENO) else {
      error = "cannot write to standard output"
      return client.finish()
    }
    if let count = left {
      left = count - 1
      if count == 1 { client.finish(.finished, properties.disconnect) }
    }
  }
}

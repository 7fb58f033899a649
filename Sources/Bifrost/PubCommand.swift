import ArgumentParser
import Client
import Dispatch
import Glibc
import Net
import Packet
import Util

/// `bifrost pub`: publishes, in the manner of mosquitto_pub.
struct PubCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pub",
    abstract: "Publish messages to an MQTT broker.",
    discussion: """
      Takes the letters of mosquitto_pub. Ends when the broker has what was sent:
      0, or 64 for a wrong command line, 69 for a broker that is not there or went
      away, 77 for one that lets this client do nothing, 1 for another refusal.
      """,
    helpNames: .long)

  @OptionGroup var client: ClientArguments
  @Option(name: [.customShort("t"), .long], help: "Topic.") var topic: String
  @Option(name: [.customShort("q"), .long], help: "QoS.") var qos = QoSArgument()
  @Flag(name: [.customShort("r"), .long], help: "Have the message retained.") var retain = false
  @Option(name: [.customShort("m"), .long], help: "The message.") var message: String?
  @Option(name: [.customShort("f"), .long], help: "Send this file as a message.") var file: String?
  @Flag(name: [.customShort("l"), .customLong("stdin-line")], help: "Send each line of input.")
  var lines = false
  @Flag(name: [.customShort("s"), .customLong("stdin-file")], help: "Send all input as a message.")
  var input = false
  @Flag(name: [.customShort("n"), .customLong("null-message")], help: "Send an empty message.")
  var empty = false
  @Option(name: .customLong("repeat"), help: "Send the message so many times.") var count = 1

  func validate() throws {
    let sources = [message != nil, file != nil, lines, input, empty].filter { $0 }.count
    guard sources == 1 else { throw ValidationError("one of -m, -f, -l, -s and -n is needed") }
    guard count >= 1 else { throw ValidationError("--repeat is 1 or more") }
    guard validateTopicName(Array(topic.utf8).span) else {
      throw ValidationError("-t is not a topic name")
    }
  }

  func run() throws {
    let properties = try client.namedProperties([.connect, .publish, .will, .disconnect])
    let packet = try client.connectPacket(properties)
    var template = OutgoingMessage(
      topic: Array(topic.utf8), payload: try payload(), qos: qos.value, retain: retain)
    properties.apply(to: &template)
    let runner = try client.client(packet, reconnects: false)
    let publisher = LinePublisher(template, lines ? nil : count, properties.disconnect)
    let outcome = runner.run(publisher)
    if let error = publisher.error {
      client.complain(error)
      throw ExitCode.failure
    }
    try client.conclude(outcome)
    if let refusal = publisher.refusal {
      client.complain("a message was refused: \(refusal)")
      throw ExitCode.failure
    }
  }

  private func payload() throws -> [UInt8] {
    if let message { return Array(message.utf8) }
    guard file != nil || input else { return [] }
    let descriptor = file.map { unsafe open($0, O_RDONLY | O_CLOEXEC) } ?? STDIN_FILENO
    defer { if descriptor > STDIN_FILENO { close(descriptor) } }
    guard descriptor >= 0, let bytes = readAll(descriptor, limit: maximumRemainingLength) else {
      client.complain("cannot read \(file ?? "standard input")")
      throw ExitCode(EX_NOINPUT)
    }
    return bytes
  }
}

/// Publishes what it is given, and ends the client when the server has it all.
private final class LinePublisher: ClientDelegate {
  /// Messages on their way at which input waits: enough for the round trip, and bounded.
  static var limit: Int { 1_000 }
  /// Bytes on their way at which input waits.
  static var byteLimit: Int { 1 << 20 }

  let template: OutgoingMessage
  /// How often the template is sent; nil for the lines of standard input.
  var left: Int?
  let goodbye: DisconnectPacket
  /// The first thing that could not be sent.
  var error: String?
  /// The first message that the server did not want.
  var refusal: ReasonCode?
  private var inputHasEnded = false
  /// Lines that wait for room, and one signal for each piece of input that was taken.
  private var waiting: ArraySlice<[UInt8]> = []
  private let taken = DispatchSemaphore(value: 0)

  init(_ template: OutgoingMessage, _ count: Int?, _ goodbye: DisconnectPacket) {
    self.template = template
    left = count
    self.goodbye = goodbye
  }

  func handle(_ event: ClientEvent, _ client: ClientRunner) {
    switch event {
    case .connected:
      if left == nil { startReading(client) }
    case .published(_, let reason):
      if reason.isError && refusal == nil { refusal = reason }
    default: return
    }
    proceed(client)
  }

  func drained(_ client: ClientRunner) { proceed(client) }

  private func isFull(_ client: ClientRunner) -> Bool {
    client.session.unacknowledgedCount >= Self.limit || client.pendingBytes > Self.byteLimit
  }

  private func proceed(_ client: ClientRunner) {
    while let count = left, count > 0, !isFull(client) {
      left = count - 1
      publish(template.payload, client)
    }
    while let line = waiting.first, !isFull(client) {
      waiting = waiting.dropFirst()
      publish(line, client)
      if waiting.isEmpty { taken.signal() }
    }
    if error != nil { return client.finish() }
    let isDone = left == 0 || (left == nil && inputHasEnded && waiting.isEmpty)
    if isDone && client.session.unacknowledgedCount == 0 {
      client.finish(.finished, goodbye)
    } else if client.pendingBytes > 0 {
      client.tellWhenDrained()
    }
  }

  private func publish(_ payload: [UInt8], _ client: ClientRunner) {
    var message = template
    message.payload = payload
    do throws(ClientError) {
      try client.use { session, out throws(ClientError) in
        _ = try session.publish(message, into: &out)
      }
    } catch {
      if self.error == nil { self.error = error.description }
      left = 0
      waiting = []
    }
  }

  /// Reads lines on a thread of its own, a piece at a time: the client's must not wait for them.
  private func startReading(_ client: ClientRunner) {
    let poster = client.poster
    let taken = taken
    // Safe: it is used on the client's thread only, which the closures that are posted run on.
    nonisolated(unsafe) let publisher = self
    do throws(NetError) {
      _ = try LoopThread(name: "input") {
        var rest: [UInt8] = []
        var isAtEnd = false
        while !isAtEnd {
          var part = [UInt8](repeating: 0, count: 65_536)
          let count = unsafe part.withUnsafeMutableBytes {
            unsafe read(STDIN_FILENO, $0.baseAddress, $0.count)
          }
          if count < 0 && errno == EINTR { continue }
          isAtEnd = count <= 0
          rest += part[..<max(0, count)]
          var lines = rest.split(separator: 0x0A, omittingEmptySubsequences: false).map(Array.init)
          rest = lines.removeLast()
          if isAtEnd && !rest.isEmpty { lines.append(rest) }
          if !lines.isEmpty {
            let piece = lines
            poster.post { client in
              unsafe publisher.waiting += piece
              unsafe publisher.proceed(client)
            }
            taken.wait()
          }
        }
        poster.post { client in
          unsafe publisher.inputHasEnded = true
          unsafe publisher.proceed(client)
        }
      }
    } catch {
      self.error = "\(error)"
      left = 0
    }
  }
}

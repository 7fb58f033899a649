import ArgumentParser
import Client
import Glibc
import Net
import Packet
import Util

/// What `pub` and `sub` say about their connection, with the letters that mosquitto's clients have.
struct ClientArguments: ParsableArguments {
  @Option(name: [.customShort("h"), .long], help: "The broker's name or address.")
  var host = "localhost"
  @Option(name: [.customShort("p"), .long], help: "The broker's port.") var port: UInt16 = 1883
  @Option(
    name: [.customShort("i"), .customLong("id")],
    help: "Client identifier. Without one the broker or chance chooses.")
  var identifier: String?
  @Option(name: [.customShort("V"), .customLong("protocol-version")], help: "3.1, 3.1.1 or 5.")
  var protocolVersion = VersionArgument()
  @Option(name: [.customShort("k"), .customLong("keepalive")], help: "Seconds between pings.")
  var keepAlive: UInt16 = 60
  @Option(name: [.customShort("u"), .customLong("username")], help: "User name.")
  var userName: String?
  @Option(name: [.customShort("P"), .customLong("pw")], help: "Password.") var password: String?
  @Option(name: .customShort("A"), help: "Numeric address of this machine to come from.")
  var bindAddress: String?
  @Flag(
    name: [.customShort("c"), .customLong("disable-clean-session")],
    help: "Keep the session after the end; needs -i.")
  var keepsSession = false
  @Option(
    name: [.customShort("x"), .customLong("session-expiry-interval")],
    help: "MQTT 5: seconds to keep the session; with -c alone, for ever.")
  var sessionExpiry: UInt32?
  @Option(help: "Topic of the will.") var willTopic: String?
  @Option(help: "Payload of the will.") var willPayload: String?
  @Option(help: "QoS of the will.") var willQos = QoSArgument()
  @Flag(help: "Have the will retained.") var willRetain = false
  @Option(
    name: [.customShort("D"), .customLong("property")], parsing: .upToNextOption,
    help: ArgumentHelp(
      "MQTT 5: a property, such as -D publish content-type text/plain, or -D connect "
        + "user-property name value.",
      valueName: "packet name value"))
  var properties: [String] = []
  @Flag(help: "Write no errors.") var quiet = false

  /// The protocol version.
  var version: ProtocolVersion { protocolVersion.value }

  /// The properties, checked.
  func namedProperties(_ allowed: [NamedProperties.Place]) throws -> NamedProperties {
    guard properties.isEmpty || version == .v5 else {
      throw ValidationError("properties need -V 5")
    }
    do throws(NamedProperties.Problem) {
      return try NamedProperties(words: properties, allowed: allowed)
    } catch {
      throw ValidationError(error.description)
    }
  }

  /// The CONNECT.
  func connectPacket(_ properties: NamedProperties) throws -> ConnectPacket {
    // Before MQTT 5 a name is made here: MQTT 3.1 needs one, of 23 bytes at most [MQTT-3.1.3-5].
    let made = version == .v5 ? "" : "bifrost-\(getpid())-\(UInt16.random(in: 0...9999))"
    let name = identifier ?? made
    guard !keepsSession || identifier != nil else { throw ValidationError("-c needs -i") }
    guard sessionExpiry == nil || version == .v5 else { throw ValidationError("-x needs -V 5") }
    guard password == nil || userName != nil || version == .v5 else {
      throw ValidationError("-P needs -u before MQTT 5")
    }
    guard (willPayload == nil && !willRetain) || willTopic != nil else {
      throw ValidationError("--will-payload and --will-retain need --will-topic")
    }
    var packet = ConnectPacket(
      version: version, clientID: Array(name.utf8), cleanStart: !keepsSession,
      keepAlive: keepAlive)
    for (name, value) in [
      ("-i", identifier), ("-u", userName), ("-P", password), ("--will-topic", willTopic),
      ("--will-payload", willPayload),
    ] where (value?.utf8.count ?? 0) > 65_535 {
      throw ValidationError("\(name) is longer than 65,535 bytes")
    }
    packet.userName = userName.map { Array($0.utf8) }
    packet.password = password.map { Array($0.utf8) }
    packet.sessionExpiryInterval = sessionExpiry
    if version == .v5 && keepsSession && sessionExpiry == nil {
      packet.sessionExpiryInterval = .max
    }
    if let willTopic {
      let topic = Array(willTopic.utf8)
      guard validateTopicName(topic.span) else {
        throw ValidationError("--will-topic is not a topic name")
      }
      packet.will = ConnectPacket.Will(
        qos: willQos.value, retain: willRetain, topic: topic,
        payload: Array((willPayload ?? "").utf8))
    }
    properties.apply(to: &packet)
    return packet
  }

  /// A client that is ready to run. SIGINT and SIGTERM end it in good order.
  func client(_ packet: ConnectPacket, reconnects: Bool) throws -> ClientRunner {
    do throws(NetError) {
      let addresses = try resolve(host)
      guard !addresses.isEmpty else { throw ClientArguments.noAddress }
      var target = ClientTarget(addresses: addresses, port: port, source: bindAddress)
      target.reconnects = reconnects
      let client = try ClientRunner(packet, to: target)
      let poster = client.poster
      Signals.prepare()
      _ = try LoopThread(name: "signals") {
        _ = Signals.wait()
        poster.post { $0.finish() }
        // A second one ends it at once, also where the server does not let go.
        _exit(128 + Signals.wait())
      }
      return client
    } catch {
      complain("\(error)")
      throw ExitCode(EX_UNAVAILABLE)
    }
  }

  private static var noAddress: NetError { NetError("find an address of the host", code: ENOENT) }

  /// Writes a line to standard error, unless it is not wanted.
  func complain(_ text: String) {
    if !quiet { StandardError.write("bifrost: \(text)\n") }
  }

  /// Ends the process as the client ended.
  func conclude(_ outcome: ClientOutcome) throws {
    switch outcome {
    case .finished: return
    case .timedOut:
      complain("timed out")
      throw ExitCode(ClientArguments.timedOut)
    case .refused(let reason, let text):
      complain("the server refuses: \(reason)\(text.isEmpty ? "" : " (\(text))")")
      throw ExitCode(reason == .notAuthorized || reason == .badUserNameOrPassword ? EX_NOPERM : 1)
    case .failed(let words):
      complain("\(host):\(port): \(words)")
      throw ExitCode(EX_UNAVAILABLE)
    }
  }

  /// What mosquitto's clients end with after -W.
  static var timedOut: Int32 { 27 }
}

/// Reads a descriptor to its end; nil where that fails or more than `limit` bytes come.
func readAll(_ descriptor: Int32, limit: Int) -> [UInt8]? {
  var bytes: [UInt8] = []
  var part = [UInt8](repeating: 0, count: 65_536)
  while true {
    // Safe: the buffer has as many bytes as are asked for.
    let count = unsafe part.withUnsafeMutableBytes {
      unsafe read(descriptor, $0.baseAddress, $0.count)
    }
    if count < 0 && errno == EINTR { continue }
    guard count >= 0 else { return nil }
    if count == 0 { return bytes }
    guard bytes.count + count <= limit else { return nil }
    bytes += part[..<count]
  }
}

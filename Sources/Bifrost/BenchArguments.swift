import ArgumentParser
import Bench
import Glibc
import Net
import Packet
import Util

/// A time on the command line: a number of seconds, or one with `ms`, `s`, `m` or `h` behind it.
struct Seconds: ExpressibleByArgument {
  let value: Double

  init(_ value: Double) { self.value = value }

  init?(argument: String) {
    let units: [(String, Double)] = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("", 1)]
    for (suffix, factor) in units where argument.hasSuffix(suffix) {
      guard let number = Double(argument.dropLast(suffix.count)), number >= 0, number < 1e7 else {
        return nil
      }
      value = number * factor
      return
    }
    return nil
  }

  var defaultValueDescription: String { value == value.rounded() ? "\(Int(value))s" : "\(value)s" }
}

/// Addresses to come from: a number of them on the loopback, or a list.
enum SourceAddresses: ExpressibleByArgument {
  case count(Int)
  case list([String])

  init?(argument: String) {
    if let count = Int(argument) {
      guard count >= 1 && count <= 60_000 else { return nil }
      self = .count(count)
    } else {
      self = .list(argument.split(separator: ",").map(String.init))
    }
  }

  /// The addresses; the first is 127.0.0.1.
  var addresses: [String] {
    switch self {
    case .list(let list): list
    case .count(let count): (0..<count).map { "127.0.\($0 / 250).\($0 % 250 + 1)" }
    }
  }
}

/// A protocol version on the command line.
struct VersionArgument: ExpressibleByArgument {
  let value: ProtocolVersion

  /// The names that mosquitto's clients take, and the plain numbers.
  init?(argument: String) {
    switch argument {
    case "31", "3.1", "mqttv31": value = .v3_1
    case "311", "3.1.1", "mqttv311": value = .v3_1_1
    case "5", "5.0", "mqttv5": value = .v5
    default: return nil
    }
  }

  /// MQTT 3.1.1, which every broker speaks.
  init() { value = .v3_1_1 }

  var defaultValueDescription: String { "3.1.1" }
}

/// A quality of service on the command line.
struct QoSArgument: ExpressibleByArgument {
  let value: QoS

  /// 0, 1 or 2.
  init?(argument: String) {
    guard let number = UInt8(argument), let value = QoS(rawValue: number) else { return nil }
    self.value = value
  }

  /// QoS 0.
  init() { value = .atMostOnce }

  var defaultValueDescription: String { "\(value.rawValue)" }
}

/// What a load is, whatever its flow.
struct BenchLoad: ParsableArguments {
  @Option(help: "Bytes of a message; from 16 on they say when it was sent, and its number.")
  var payload = 64
  @Option(name: [.customShort("q"), .long], help: "QoS of messages and subscriptions.")
  var qos = QoSArgument()
  @Option(help: "Measure until so many messages are delivered, instead of for a time.")
  var messages: UInt64?
  @Option(help: "How long to measure, such as 10s.") var duration = Seconds(5)
  @Option(help: "Load before measuring, such as 2s.") var warmUp = Seconds(2)
  @Option(help: "Messages per second in all. Without it: a closed loop, as fast as it goes.")
  var rate: Double?
  @Option(
    help: ArgumentHelp(
      "Closed loop: messages of a publisher that are under way.",
      discussion: "By default 400 at QoS 0 and 100 at QoS 1 and 2; less, down to 8, where that "
        + "would be more than a mebibyte, or more than 40,000 messages for one subscriber."))
  var window: Int?
  @Option(help: "Filters without wildcards that no message matches, held by further clients.")
  var otherFilters = 0
  @Option(help: "The same with wildcards.") var otherWildcards = 0
  @Flag(help: "Give clients sessions that outlive their connections; they end with the run.")
  var persistent = false
  @Flag(help: "Closed loop: measure latency too. With --rate it is always measured.")
  var latency = false

  /// What saturates a fast broker, and is within what brokers queue and have in flight for a
  /// client.
  func defaultWindow(sharing publishers: Int) -> Int {
    let most = qos.value == .atMostOnce ? 400 : 100
    return min(most, max(8, min((1 << 20) / max(1, payload), 40_000 / max(1, publishers))))
  }
}

/// Where a load goes to, and what becomes of its result.
struct BenchTarget: ParsableArguments {
  @Option(name: .long, help: "The broker's name or address.") var host = "127.0.0.1"
  @Option(name: [.customShort("p"), .long], help: "The broker's port.") var port: UInt16 = 1883
  @Option(name: [.customShort("V"), .customLong("mqtt-version")], help: "3.1, 3.1.1 or 5.")
  var version = VersionArgument()
  @Option(help: "Event loops of the generator, a thread each.") var loops = 1
  @Option(
    help: ArgumentHelp(
      "Addresses to come from: how many of 127.0.0.1, 127.0.0.2, …, or a list with commas.",
      valueName: "number-or-list"))
  var sourceAddresses: SourceAddresses?
  @Option(help: "Process of the broker: its CPU time and memory are reported.")
  var brokerPid: Int32?
  @Flag(help: "Write the result as JSON.") var json = false
  @Option(help: "Write the result to this file instead of standard output.") var output: String?
  @Flag(help: "Write no progress.") var quiet = false
  @Flag(help: "Load a broker on another machine without being asked.") var yes = false
  @Option(help: .hidden) var patience = 15.0

  /// The options that do not depend on the flow.
  func options(_ flow: Flow, clients: Int) throws -> BenchOptions {
    let address: String
    do throws(NetError) {
      address = try resolve(host).first ?? host
    } catch {
      StandardError.write("bifrost: \(error)\n")
      throw ExitCode(EX_NOHOST)
    }
    let isLoopback = address.hasPrefix("127.") || address == "::1"
    if !isLoopback && !yes {
      StandardError.write(
        "bifrost: \(host) is another machine (\(address)), and this would put it under load; add "
          + "--yes if it is yours\n")
      throw ExitCode(EX_USAGE)
    }
    var options = BenchOptions(flow: flow, address: address, port: port, runName: Self.runName)
    options.version = version.value
    options.loops = loops
    options.brokerProcess = brokerPid
    options.patienceSeconds = patience
    if let sourceAddresses {
      options.sources = sourceAddresses.addresses
    } else if address.hasPrefix("127.") && clients > 12_000 {
      // An address has 28,000 ports for connections to one server, unless the system is told else;
      // the second half of them takes the kernel ten times as long to find as the first.
      options.sources = SourceAddresses.count((clients + 11_999) / 12_000).addresses
    }
    return options
  }

  /// A name that no other run has: a broker may still know the last one's clients.
  private static var runName: String {
    // Eight digits in base 36: the first five are enough for client ids.
    String(UInt64.random(in: 78_364_164_096..<2_821_109_907_456), radix: 36)
  }

  /// Runs a flow and reports.
  func run(_ flow: Flow, _ load: BenchLoad, _ adjust: (inout BenchOptions) -> Void) throws {
    var options = try options(flow, clients: 0)
    options.payloadBytes = load.payload
    options.qos = load.qos.value
    options.extent = load.messages.map { .messages($0) } ?? .seconds(load.duration.value)
    options.warmUpSeconds = load.warmUp.value
    options.rate = load.rate
    options.measuresLatency = load.latency
    options.isPersistent = load.persistent
    options.otherFilters = load.otherFilters
    options.otherWildcards = load.otherWildcards
    adjust(&options)
    let sharing = flow == .pair || options.matchesOne ? 1 : options.publishers
    options.window = load.window ?? load.defaultWindow(sharing: sharing)
    let final = options
    try report { try runBench(final, $0) }
  }

  /// Writes the result that `body` gives; ends with 1 where the broker did not do what it promised.
  func report(_ body: (Progress) throws -> BenchResult) throws {
    signal(SIGPIPE, SIG_IGN)
    _ = OpenFiles.raiseLimit()
    let isQuiet = quiet
    let result: BenchResult
    do {
      result = try body(Progress { if !isQuiet { StandardError.write($0) } })
    } catch let error as BenchFailure {
      StandardError.write("bifrost: \(error)\n")
      throw ExitCode(EX_USAGE)
    }
    let machine = MachineFacts.present
    let text = json ? result.json(machine).text + "\n" : result.text(machine)
    if let output {
      let file = unsafe open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
      guard file >= 0, write(text, to: file), close(file) == 0 else {
        StandardError.write("bifrost: cannot write \(output)\n")
        throw ExitCode(EX_CANTCREAT)
      }
    } else {
      write(text, to: STDOUT_FILENO)
    }
    guard result.isGood else {
      StandardError.write("bifrost: \(result.complaint ?? "messages were lost")\n")
      throw ExitCode.failure
    }
  }
}

/// Writes all of a text to a descriptor; false where it takes no more.
@discardableResult
func write(_ text: String, to descriptor: Int32) -> Bool {
  write(Array(text.utf8), to: descriptor)
}

/// Writes all bytes to a descriptor; false where it takes no more.
@discardableResult
func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
  unsafe bytes.withUnsafeBytes { buffer in
    var offset = 0
    while offset < buffer.count {
      // Safe: the rest lies within the buffer, which outlives the call.
      let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[offset...])
      let count = unsafe Glibc.write(descriptor, rest.baseAddress, rest.count)
      if count > 0 {
        offset += count
      } else if count == 0 || errno != EINTR {
        return false
      }
    }
    return true
  }
}

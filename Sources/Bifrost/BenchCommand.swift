import ArgumentParser
import Bench
import Glibc
import Net
import Packet
import Util

/// `bifrost bench`: loads a broker, this one or another, and measures it.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Load an MQTT broker and measure it.",
    discussion: "docs/BENCH.md explains the flows and how to read their results.",
    subcommands: [
      BenchIdle.self, BenchPair.self, BenchFanOut.self, BenchFanIn.self, BenchWildcard.self,
      BenchShare.self,
    ])
}

/// Publishers and subscribers in pairs.
struct BenchPair: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pair", abstract: "Pairs of a publisher and a subscriber, a topic for each.")

  @Option(name: .customLong("pairs"), help: "Pairs.") var pairs = 100
  @OptionGroup var target: BenchTarget
  @OptionGroup var load: BenchLoad

  func run() throws {
    try target.run(.pair, load) {
      $0.publishers = pairs
      $0.subscribers = pairs
    }
  }
}

/// One topic, many subscribers.
struct BenchFanOut: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fan-out", abstract: "One topic that many clients subscribe to.")

  @Option(help: "Clients that publish to it.") var publishers = 1
  @Option(help: "Clients that subscribe to it.") var subscribers = 1_000
  @OptionGroup var target: BenchTarget
  @OptionGroup var load: BenchLoad

  func run() throws {
    try target.run(.fanOut, load) {
      $0.publishers = publishers
      $0.subscribers = subscribers
    }
  }
}

/// One topic, many publishers.
struct BenchFanIn: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fan-in", abstract: "One topic that many clients publish to.")

  @Option(help: "Clients that publish to it.") var publishers = 200
  @Option(help: "Clients that subscribe to it.") var subscribers = 1
  @OptionGroup var target: BenchTarget
  @OptionGroup var load: BenchLoad

  func run() throws {
    try target.run(.fanIn, load) {
      $0.publishers = publishers
      $0.subscribers = subscribers
    }
  }
}

/// Subscriptions with wildcards.
struct BenchWildcard: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "wildcard", abstract: "Subscriptions with wildcards of several shapes.")

  /// How many subscriptions a message matches.
  enum Match: String, ExpressibleByArgument, CaseIterable {
    case all, one
  }

  @Option(help: "Clients that publish, where a message matches all subscriptions.")
  var publishers = 1
  @Option(help: "Clients with one subscription each.") var subscribers = 100
  @Option(help: "Subscriptions that a message matches: all, or one, with a publisher for each.")
  var match = Match.all
  @OptionGroup var target: BenchTarget
  @OptionGroup var load: BenchLoad

  func run() throws {
    try target.run(.wildcard, load) {
      $0.publishers = match == .one ? subscribers : publishers
      $0.subscribers = subscribers
      $0.matchesOne = match == .one
    }
  }
}

/// A shared subscription.
struct BenchShare: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "share", abstract: "A group of clients that share a subscription.")

  @Option(help: "Clients that publish.") var publishers = 10
  @Option(help: "Members of the group.") var subscribers = 10
  @OptionGroup var target: BenchTarget
  @OptionGroup var load: BenchLoad

  func run() throws {
    try target.run(.share, load) {
      $0.publishers = publishers
      $0.subscribers = subscribers
    }
  }
}

/// Clients that do nothing.
struct BenchIdle: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "idle", abstract: "Clients that connect, subscribe and do nothing.")

  @Option(help: "Clients.") var clients = 10_000
  @Option(help: "Processes that they are spread over.") var processes = 1
  @Option(help: "How long to hold them, such as 5s.") var hold = Seconds(5)
  @Option(help: "Seconds between the pings of a client; 0 for none.") var keepAlive: UInt16 = 0
  @Flag(help: "Send each client a message of QoS 1 once all are connected.") var reach = false
  @Flag(help: "In the end, send all clients one message, for which each subscribes once more.")
  var broadcast = false
  @Option(help: "Bytes of those messages.") var payload = 64
  @Flag(help: "Give clients sessions that outlive their connections; they end with the run.")
  var persistent = false
  @Flag(help: "Leave those sessions with the broker, without their clients.")
  var keepSessions = false
  @Flag(inversion: .prefixedNo, help: "Give each client a subscription of its own.")
  var subscribe = true
  @Option(help: .private) var firstClient = 0
  @Option(help: .private) var child: String?
  @OptionGroup var target: BenchTarget

  func validate() throws {
    guard processes == 1 || !(reach || broadcast) else {
      throw ValidationError("--reach and --broadcast are for one process; see --loops")
    }
  }

  func run() throws {
    var options = try target.options(.idle, clients: clients)
    options.subscribers = clients
    options.subscribes = subscribe
    options.isPersistent = persistent
    options.keepsSessions = keepSessions
    options.keepAlive = keepAlive
    options.holdSeconds = hold.value
    options.reaches = reach
    options.broadcasts = broadcast
    options.payloadBytes = payload
    options.firstClient = firstClient
    if let child {
      options.runName = child
      do throws(BenchFailure) {
        try runIdleChild(options) { write($0, to: STDOUT_FILENO) }
      } catch {
        StandardError.write("bifrost: \(error)\n")
        throw ExitCode.failure
      }
      return
    }
    try target.report {
      processes > 1
        ? try runIdleProcesses(options, count: processes, $0) : try runBench(options, $0)
    }
  }
}

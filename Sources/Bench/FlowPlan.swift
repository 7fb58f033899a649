import Packet

/// What a client of the load does.
enum Role: Sendable {
  case publisher, subscriber, idle
  /// Subscribes to many filters that no message of the flow matches.
  case holder
  /// Publishes to idle clients.
  case caller
}

/// One client, before it is connected.
struct ClientPlan: Sendable, Equatable {
  var role: Role
  /// Number of the client in the whole run; its name and source address follow from it.
  var number: Int
  var channel: Int
  /// Which publisher of its channel it is.
  var publisher: Int = 0
  /// Topic name of a publisher, filter of a subscriber; empty for neither.
  var topic: String
  /// Of a holder: the numbers of its filters, and whether they have wildcards.
  var held = 0..<0
  var heldHaveWildcards = false
}

/// Publishers and subscribers that feed and empty one window.
struct ChannelPlan: Sendable, Equatable {
  var publishers: Int
  /// Deliveries that one message makes.
  var fan: Int
  /// Loop of its publishers, which keeps its window.
  var home: Int
  var subscribers: Int
}

/// Which clients run on which loop.
struct FlowPlan: Sendable {
  var channels: [ChannelPlan] = []
  /// Clients of each loop.
  var loops: [[ClientPlan]]

  /// A client id of 12 bytes: what tells the run, and seven digits.
  static func clientID(_ runName: String, _ number: Int) -> String {
    let digits = String(number)
    return runName.prefix(5) + String(repeating: "0", count: max(0, 7 - digits.count)) + digits
  }

  /// Lays out a flow. Publishers of a channel share a loop; subscribers of one with many of them
  /// are spread over all loops.
  init(_ options: BenchOptions) {
    loops = Array(repeating: [], count: options.loops)
    let prefix = "bench/\(options.runName)"
    let isPairs = options.flow == .pair || (options.flow == .wildcard && options.matchesOne)
    if options.flow == .idle {
      for index in 0..<options.subscribers {
        let number = options.firstClient + index
        loops[index % options.loops].append(
          ClientPlan(
            role: .idle, number: number, channel: 0,
            topic: options.subscribes ? FlowPlan.ownTopic(options.runName, number) : ""))
      }
      if options.reaches || options.broadcasts {
        loops[0].append(
          ClientPlan(
            role: .caller, number: options.firstClient + options.subscribers, channel: 0, topic: "")
        )
      }
    } else if isPairs {
      let count = options.flow == .pair ? options.publishers : options.subscribers
      for index in 0..<count {
        let loop = index % options.loops
        channels.append(ChannelPlan(publishers: 1, fan: 1, home: loop, subscribers: 1))
        let topic = "\(prefix)/\(options.flow.rawValue)/\(index)"
        let isWild = options.flow == .wildcard
        loops[loop].append(
          ClientPlan(
            role: .subscriber, number: 2 * index, channel: index,
            topic: isWild ? "\(topic)/+" : topic))
        loops[loop].append(
          ClientPlan(
            role: .publisher, number: 2 * index + 1, channel: index,
            topic: isWild ? "\(topic)/value" : topic))
      }
    } else {
      addOneChannel(options, prefix)
    }
    addHolders(options.otherFilters, haveWildcards: false)
    addHolders(options.otherWildcards, haveWildcards: true)
  }

  /// Filters of one holder: below what brokers allow a client by default.
  static var filtersOfHolder: Int { 50_000 }

  /// Clients that hold filters which no message matches.
  private mutating func addHolders(_ count: Int, haveWildcards: Bool) {
    let first = loops.reduce(0) { $0 + $1.count }
    for (index, start) in stride(from: 0, to: count, by: FlowPlan.filtersOfHolder).enumerated() {
      loops[index % loops.count].append(
        ClientPlan(
          role: .holder, number: first + index, channel: 0, topic: "",
          held: start..<min(count, start + FlowPlan.filtersOfHolder),
          heldHaveWildcards: haveWildcards))
    }
  }

  /// A filter that no message of a flow matches. Those with wildcards have five shapes, so that a
  /// broker has to walk past them.
  static func otherFilter(_ runName: String, _ index: Int, hasWildcard: Bool) -> String {
    let prefix = "bench/\(runName)"
    guard hasWildcard else { return "\(prefix)/other/\(index)" }
    return switch index % 5 {
    case 0: "\(prefix)/other/\(index)/+"
    case 1: "\(prefix)/other/\(index)/#"
    case 2: "\(prefix)/+/other\(index)/+"
    case 3: "+/\(runName)/+/other\(index)/#"
    default: "\(prefix)/other\(index)/+/value"
    }
  }

  /// The topic that an idle client subscribes to: 17 bytes.
  static func ownTopic(_ runName: String, _ number: Int) -> String {
    "push/\(clientID(runName, number))"
  }

  /// The topic that all idle clients subscribe to for a broadcast.
  static func broadcastTopic(_ runName: String) -> String { "push/all/\(runName)" }

  /// Every publisher reaches every subscriber, or one of a group that shares.
  private mutating func addOneChannel(_ options: BenchOptions, _ prefix: String) {
    channels.append(
      ChannelPlan(
        publishers: options.publishers, fan: options.flow == .share ? 1 : options.subscribers,
        home: 0, subscribers: options.subscribers))
    for index in 0..<options.subscribers {
      let filter =
        switch options.flow {
        case .wildcard: FlowPlan.wildcard(index, prefix, options.runName)
        case .share: "$share/group/\(prefix)/data"
        default: "\(prefix)/data"
        }
      loops[index % options.loops].append(
        ClientPlan(role: .subscriber, number: index, channel: 0, topic: filter))
    }
    for index in 0..<options.publishers {
      loops[0].append(
        ClientPlan(
          role: .publisher, number: options.subscribers + index, channel: 0, publisher: index,
          topic: options.flow == .wildcard
            ? "\(prefix)/site\(index)/device/value" : "\(prefix)/data"))
    }
  }

  /// Filters of five shapes, each of which matches every message of the flow.
  private static func wildcard(_ index: Int, _ prefix: String, _ runName: String) -> String {
    switch index % 5 {
    case 0: "\(prefix)/+/device/value"
    case 1: "\(prefix)/#"
    case 2: "\(prefix)/+/+/value"
    case 3: "\(prefix)/+/device/#"
    default: "+/\(runName)/+/device/+"
    }
  }
}

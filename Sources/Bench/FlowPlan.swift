import Packet

/// What a client of the load does.
enum Role: Sendable {
  case publisher, subscriber, idle
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
            topic: options.subscribes ? "\(prefix)/idle/\(number)" : ""))
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
  }

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

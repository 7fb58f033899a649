import Net
import Packet
import Session
import Store
import Util

/// What `$SYS` says, and when it says it again.
struct SystemTopics {
  let interval: UInt32
  var nextTick: UInt32 = 0
  var averages: [LoadAverage] = []
  var maximumConnected: UInt64 = 0

  init(_ broker: Broker) {
    interval = Worker.ticks(milliseconds: broker.options.systemIntervalMilliseconds)
    averages = LoadAverage.kinds.map { LoadAverage(name: $0.name, value: $0.value) }
  }
}

/// Events per minute, averaged over 1, 5 and 15 minutes, each weighing less the older it is.
struct LoadAverage {
  let name: String
  let value: @Sendable (Counters) -> UInt64
  private var last: UInt64 = 0
  private var perMinute: [Double] = [0, 0, 0]

  static let windows: [(name: String, seconds: Double)] = [
    ("1min", 60), ("5min", 300), ("15min", 900),
  ]

  static let kinds: [(name: String, value: @Sendable (Counters) -> UInt64)] = [
    ("messages/received", { $0.messagesReceived }),
    ("messages/sent", { $0.messagesSent }),
    ("publish/received", { $0.publishesReceived }),
    ("publish/sent", { $0.publishesSent }),
    ("publish/dropped", { $0.publishesDropped }),
    ("bytes/received", { $0.bytesReceived }),
    ("bytes/sent", { $0.bytesSent }),
    ("sockets", { $0.sockets }),
    ("connections", { $0.connects }),
  ]

  init(name: String, value: @escaping @Sendable (Counters) -> UInt64) {
    self.name = name
    self.value = value
  }

  /// Takes the counters at the end of an interval of `seconds`, and gives the three averages.
  mutating func update(_ counters: Counters, seconds: Double) -> [Double] {
    let now = value(counters)
    let rate = Double(now - last) * 60 / seconds
    last = now
    for (index, window) in LoadAverage.windows.enumerated() {
      // The share of the new interval in a window: exact for interval << window, never above 1.
      let share = min(1, seconds / window.seconds)
      perMinute[index] += (rate - perMinute[index]) * share
    }
    return perMinute
  }
}

extension Worker {
  /// Publishes `$SYS` when it is due, and says when it is due again. Loop 0 does it for all.
  func publishSystemTopics() -> UInt32 {
    guard let due = system?.nextTick, let interval = system?.interval else { return .max }
    guard loop.now >= due else { return due }
    let isFirst = due == 0
    system?.nextTick = loop.now + interval
    var sum = Counters()
    showCounters()
    for board in broker.boards { sum.add(board.counters) }
    let connected = sum.connected
    let highest = max(system?.maximumConnected ?? 0, connected)
    system?.maximumConnected = highest
    let uptime = (MonotonicClock.milliseconds - broker.startedAt) / 1000
    let sessionCount = UInt64(broker.directory.count)
    let away = sessionCount > connected ? sessionCount - connected : 0
    if isFirst { say("version", "bifrost \(bifrostVersion)") }
    say("uptime", "\(uptime) seconds")
    say("clients/total", sessionCount)
    say("clients/connected", connected)
    say("clients/active", connected)
    say("clients/disconnected", away)
    say("clients/inactive", away)
    say("clients/maximum", highest)
    say("clients/expired", sum.expiredClients)
    say("clients/refused", sum.refusals + sum.unaccepted)
    say("clients/protocol errors", sum.protocolErrors)
    say("messages/received", sum.messagesReceived)
    say("messages/sent", sum.messagesSent)
    say("messages/stored", sum.queuedMessages + UInt64(broker.store.size.messages))
    say("store/messages/count", sum.queuedMessages + UInt64(broker.store.size.messages))
    say("store/messages/bytes", sum.queuedBytes + UInt64(broker.store.size.bytes))
    if let durable = broker.durable { sayStore(durable.statistics) }
    say("publish/messages/received", sum.publishesReceived)
    say("publish/messages/sent", sum.publishesSent)
    say("publish/messages/dropped", sum.publishesDropped)
    say("publish/messages/forwarded", sum.publishesForwarded)
    say("publish/bytes/received", sum.publishBytesReceived)
    say("publish/bytes/sent", sum.publishBytesSent)
    say("bytes/received", sum.bytesReceived)
    say("bytes/sent", sum.bytesSent)
    say(
      "retained messages/count",
      UInt64(broker.retained.count) + (broker.durable?.statistics.retained ?? 0))
    say("subscriptions/count", sum.subscriptions)
    say("shared_subscriptions/count", sum.sharedSubscriptions)
    for index in 0..<LoadAverage.kinds.count {
      guard
        let name = system?.averages[index].name,
        let values = system?.averages[index].update(sum, seconds: Double(interval) / 8)
      else { continue }
      for (window, value) in zip(LoadAverage.windows, values) {
        let hundredths = UInt64((value * 100).rounded())
        let fraction = hundredths % 100
        say("load/\(name)/\(window.name)", "\(hundredths / 100).\(fraction / 10)\(fraction % 10)")
      }
    }
    sayMemory()
    return loop.now + interval
  }

  /// What outlives the process.
  private func sayStore(_ store: StoreStatistics) {
    say("store/sessions", store.sessions)
    say("store/log/messages", store.messages)
    say("store/log/bytes", store.bytes)
    say("store/log/appended", store.appended)
    say("store/unread", store.unread)
    say("store/retained", store.retained)
    say("store/commits", store.commits)
    say("store/failures", store.failures)
  }

  /// The ledger: each kind, their sum, and what the system says for comparison.
  private func sayMemory() {
    let ledger = broker.readLedger()
    for (name, bytes) in ledger.kinds { say("memory/\(name)", UInt64(max(0, bytes))) }
    say("memory/total", UInt64(max(0, ledger.total)))
    say("memory/resident", ProcessFacts.own.residentBytes ?? 0)
    say("memory/started", UInt64(broker.startedResident.load(ordering: .relaxed)))
  }

  private func say(_ name: String, _ number: UInt64) { say(name, "\(number)") }

  private func say(_ name: String, _ text: String) {
    let topic = Array("$SYS/broker/\(name)".utf8)
    let payload = Array(text.utf8)
    route(
      MessageView(
        facts: MessageFacts(qos: .atMostOnce, retain: true), topic: topic.span,
        properties: Span(), payload: payload.span), from: 0)
  }
}

import BifrostAPI
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Logging
import Packet
import PubSub
import Session
import Util

/// Asks backends and tells them what clients do, as `bifrost.v1.Hooks` says.
///
/// Loops hand over and go on: each hook has its own bounded queue, and calls are made by tasks. A hook that is not
/// configured costs nothing: it is none of the `points`.
public final class HookRunner: BrokerHooks {
  /// The filters of a hook's topics.
  private typealias Filters = [[UInt8]]

  /// The hooks that have endpoints.
  public let points: HookPoints
  let connectHook: QuestionHook<ConnectQuestion, ConnectVerdict>?
  let subscribeHook: QuestionHook<SubscribeQuestion, SubscribeVerdict>?
  let publishHook: QuestionHook<PublishQuestion, [PublishVerdict]>?
  let deliveredHook: NoteHook<DeliveredNote>?
  let unsubscribeHook: NoteHook<UnsubscribedNote>?
  let disconnectHook: NoteHook<DisconnectedNote>?
  let offlineHook: NoteHook<OfflineNote>?
  let connectAnswers = AnswerCache<ConnectKey, ConnectVerdict>()
  let subscribeAnswers = AnswerCache<SubscribeKey, SubscribeVerdict>()
  let counters: HookCounterSet
  /// The filters of `hooks.publish.topics`.
  public let publishTopics: [[UInt8]]
  private let deliveredTopics: Filters
  private let offlineTopics: Filters
  private let backends: [HookBackend]
  private let healthInterval: Int

  /// Reads certificates and the token, and makes no connection yet.
  ///
  /// Throws where those can't be used, or a topic's filter is none.
  public init(options: HookOptions, logger: Logger) throws(HookError) {
    var maker = try HookMaker(options, HookJournal(logger))
    let identities = IdentityMaker()
    let connectAnswers = connectAnswers
    let subscribeAnswers = subscribeAnswers
    let onFailure = (
      options.connect.onFailure, options.subscribe.onFailure, options.publish.onFailure
    )
    connectHook = try maker.question("connect", options.connect, point: .connect) {
      try await askConnect($0, $1, $2, identities, connectAnswers)
    } unanswered: { _ in
      onFailure.0 == .allow ? .allow(Identity()) : .refuse(.serverBusy, "")
    }
    subscribeHook = try maker.question("subscribe", options.subscribe, point: .subscribe) {
      try await askSubscribe($0, $1, $2, subscribeAnswers)
    } unanswered: { question in
      SubscribeVerdict(
        filters: question.filters.map {
          onFailure.1 == .allow ? .allow($0.qos) : .refuse(.quotaExceeded)
        })
    }
    publishHook = try maker.question(
      "publish", options.publish, point: .publish, batchCount: HookLimits.batchCount
    ) {
      try await askPublish($0, $1, $2)
    } unanswered: { question in
      question.messages.map { _ in onFailure.2 == .allow ? .allow : .refuse(.quotaExceeded) }
    }
    deliveredHook = try maker.note("delivered", options.delivered, point: .delivered) {
      let notes = $1.map(Bifrost_V1_Delivered.init)
      _ = try await $0.hooks.onDelivered(
        .with { $0.delivered = notes }, metadata: $0.metadata, options: $2)
    }
    unsubscribeHook = try maker.note("unsubscribe", options.unsubscribe, point: .unsubscribe) {
      let notes = $1.map(Bifrost_V1_Unsubscribed.init)
      _ = try await $0.hooks.onUnsubscribe(
        .with { $0.unsubscribed = notes }, metadata: $0.metadata, options: $2)
    }
    disconnectHook = try maker.note("disconnect", options.disconnect, point: .disconnect) {
      let notes = $1.map(Bifrost_V1_ClientDisconnected.init)
      _ = try await $0.hooks.onDisconnect(
        .with { $0.disconnected = notes }, metadata: $0.metadata, options: $2)
    }
    offlineHook = try maker.note("offline", options.offline, point: .offline) {
      let notes = $1.map(Bifrost_V1_OfflineMessage.init)
      _ = try await $0.hooks.onOffline(
        .with { $0.messages = notes }, metadata: $0.metadata, options: $2)
    }
    publishTopics = try hookFilters(options.publish.topics, "publish")
    deliveredTopics = try hookFilters(options.delivered.topics, "delivered")
    offlineTopics = try hookFilters(options.offline.topics, "offline")
    points = maker.points
    counters = maker.counters
    backends = maker.backends
    healthInterval = options.healthIntervalMilliseconds
  }

  /// Lets connections be made and health checks begin. Once, before the broker asks.
  public func start() {
    for backend in backends { backend.start(healthInterval: healthInterval) }
  }

  /// Answers all questions that are open with what `on-failure` says (those that would wait are refused), tells the
  /// notes that wait for at most `time`, drops the rest, and ends all connections. The broker's loops have ended by
  /// then, or get such answers.
  public func stop(within time: Duration) async {
    await withDiscardingTaskGroup { group in
      group.addTask { await self.connectHook?.stop() }
      group.addTask { await self.subscribeHook?.stop() }
      group.addTask { await self.publishHook?.stop() }
      group.addTask { await self.deliveredHook?.stop(within: time) }
      group.addTask { await self.unsubscribeHook?.stop(within: time) }
      group.addTask { await self.disconnectHook?.stop(within: time) }
      group.addTask { await self.offlineHook?.stop(within: time) }
    }
    await withDiscardingTaskGroup { group in
      for backend in backends { group.addTask { await backend.stop() } }
    }
  }

  /// What hooks did so far, and how endpoints are now. From any thread.
  public var statistics: HookStatistics {
    var statistics = HookStatistics()
    let queued = [
      "connect": connectHook?.queued, "subscribe": subscribeHook?.queued,
      "publish": publishHook?.queued, "delivered": deliveredHook?.queued,
      "unsubscribe": unsubscribeHook?.queued, "disconnect": disconnectHook?.queued,
      "offline": offlineHook?.queued,
    ]
    for (name, counters) in counters.points {
      var point = counters.snapshot
      point.queued = queued[name].flatMap { $0 } ?? 0
      statistics.points[name] = point
    }
    statistics.openBreakers = backends.count(where: \.isOpen)
    statistics.unhealthyEndpoints = backends.count { $0.health != .serving }
    return statistics
  }

  /// Whether a filter of `hooks.delivered.topics` matches.
  public func tellsDelivered(_ topic: Span<UInt8>) -> Bool { Self.matches(deliveredTopics, topic) }

  /// Whether a filter of `hooks.offline.topics` matches.
  public func tellsOffline(_ topic: Span<UInt8>) -> Bool { Self.matches(offlineTopics, topic) }

  private static func matches(_ filters: Filters, _ topic: Span<UInt8>) -> Bool {
    for filter in filters where filterMatches(filter.span, topic: topic) { return true }
    return false
  }
}

/// The filters of a hook's topics, checked.
private func hookFilters(_ topics: [String], _ name: String) throws(HookError) -> [[UInt8]] {
  var filters: [[UInt8]] = []
  for topic in topics {
    let filter = Array(topic.utf8)
    guard validateTopicFilter(filter.span), parseSharedSubscription(filter.span) == .notShared
    else {
      throw HookError("hooks.\(name).topics: \"\(topic)\" is not a topic filter")
    }
    filters.append(filter)
  }
  return filters
}

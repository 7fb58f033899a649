import Util

/// Who subscribes to what, on one loop.
///
/// A session keeps a `SubscriptionList` and passes it in; the table knows nothing else about
/// sessions. To serve a publish:
///
///     table.filters.match(topic, hash: hash, into: &hits)
///     for index in 0..<hits.count {
///       var slot = table.firstSubscription(of: hits[index])
///       while slot != 0 {
///         let subscription = table[slot]
///         ...
///         slot = subscription.nextInFilter
///       }
///     }
///
/// With an `InterestIndex` the table tells the other loops about the first subscription to a
/// filter and forgets it after the last. The table belongs to one thread.
public final class SubscriptionTable {
  /// The filters; read-only outside of the table.
  public let filters: FilterIndex
  let subscriptions: Slab<SubscriptionRecord>
  let interest: InterestIndex?
  /// This loop's number in the interest index.
  public let loop: Int

  /// Reserves addresses, not memory.
  /// - Parameters:
  ///   - capacity: subscriptions, and filters, that can be held.
  ///   - interest: what loops share, if there are several; it must have the same seed.
  ///   - loop: the number of this loop, 0 to 63.
  public init(
    capacity: Int = 1 << 24, seed: HashSeed, interest: InterestIndex? = nil, loop: Int = 0
  ) {
    precondition(loop >= 0 && loop < Limits.loops)
    filters = FilterIndex(capacity: capacity, seed: seed)
    subscriptions = Slab(capacity: capacity)
    self.interest = interest
    self.loop = loop
  }

  /// Number of subscriptions.
  public var count: Int { subscriptions.count }

  /// Bytes of memory that the table may hold.
  public var residentBytes: Int { filters.residentBytes + subscriptions.residentBytes }

  /// The memory of the subscriptions, without their filters.
  public var memory: PoolMemory { subscriptions.memory }

  /// Whether `trim` would give memory back.
  public var hasSpare: Bool { subscriptions.hasSpare || filters.hasSpare }

  /// Gives memory that was needed for a busy time back to the system.
  public func trim() {
    subscriptions.trim()
    filters.trim()
  }

  /// A subscription in use.
  public subscript(slot: UInt32) -> SubscriptionRecord { subscriptions[slot] }

  /// The oldest subscription to a filter; 0 when there is none.
  public func firstSubscription(of filter: UInt32) -> UInt32 {
    filters.records[filter].firstSubscription
  }

  /// Adds the subscription of a session, or replaces the options and the identifier of the one
  /// that it has [MQTT-3.8.4-3].
  ///
  /// A session keeps its part in a shared subscription here too, under the whole text
  /// `$share/{name}/{filter}`; such a text matches no topic and is not told to other loops.
  public func subscribe(
    session: UInt32, filter text: Span<UInt8>, options: UInt8, identifier: UInt32,
    list: inout SubscriptionList
  ) -> SubscribeOutcome {
    let filter = filters.insert(text)
    if filter == 0 { return .refused }
    let existing = find(session: session, filter: filter, list: list)
    if existing != 0 {
      subscriptions[existing].options = options
      subscriptions[existing].identifier = identifier
      return SubscribeOutcome(slot: existing, isNew: false, isFirstOfFilter: false)
    }
    let outcome = add(
      session: session, filter: filter, text: text, options: options, identifier: identifier,
      isShared: false)
    if outcome.isRefused { return outcome }
    let slot = outcome.slot
    subscriptions[slot].nextInSession = list.head
    if list.head != 0 { subscriptions[list.head].previousInSession = slot }
    list.head = slot
    list.count += 1
    return outcome
  }

  /// Adds the one subscription that stands for a group of `ShareGroups`. It is in no session's
  /// list; the caller keeps the slot with the group, and removes it with `unsubscribe(group:)`.
  public func subscribe(group: UInt32, filter text: Span<UInt8>) -> SubscribeOutcome {
    let filter = filters.insert(text)
    if filter == 0 { return .refused }
    return add(
      session: group, filter: filter, text: text, options: 0, identifier: 0, isShared: true)
  }

  /// Removes what `subscribe(group:filter:)` added.
  @discardableResult
  public func unsubscribe(group slot: UInt32) -> UnsubscribeOutcome {
    precondition(subscriptions[slot].isShared, "not the subscription of a group")
    let isLast = remove(slot) { _ in }
    return isLast ? .removedLastOfFilter : .removed
  }

  /// Removes the subscription of a session to a filter [MQTT-3.10.4-1].
  public func unsubscribe(
    session: UInt32, filter text: Span<UInt8>, list: inout SubscriptionList
  ) -> UnsubscribeOutcome {
    let filter = filters.find(text)
    if filter == 0 { return .notFound }
    let slot = find(session: session, filter: filter, list: list)
    if slot == 0 { return .notFound }
    let record = subscriptions[slot]
    if record.previousInSession == 0 {
      list.head = record.nextInSession
    } else {
      subscriptions[record.previousInSession].nextInSession = record.nextInSession
    }
    if record.nextInSession != 0 {
      subscriptions[record.nextInSession].previousInSession = record.previousInSession
    }
    list.count -= 1
    return remove(slot) { _ in } ? .removedLastOfFilter : .removed
  }

  /// The subscription of a session to a filter; 0 when there is none. Walks the shorter of the two
  /// lists in which it would be.
  public func find(session: UInt32, filter: UInt32, list: SubscriptionList) -> UInt32 {
    let record = filters.records[filter]
    if list.count < record.subscriptionCount {
      var slot = list.head
      while slot != 0 && subscriptions[slot].filter != filter {
        slot = subscriptions[slot].nextInSession
      }
      return slot
    }
    var slot = record.firstSubscription
    while slot != 0 {
      let subscription = subscriptions[slot]
      if subscription.session == session && !subscription.isShared { return slot }
      slot = subscription.nextInFilter
    }
    return 0
  }
}

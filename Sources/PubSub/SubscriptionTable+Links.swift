import Util

/// The lists in which subscriptions hang, and what a session's end does to them.
extension SubscriptionTable {
  /// Removes all subscriptions of a session.
  /// - Parameter lastOfFilter: called with each filter that nobody here subscribes to any more,
  ///   before it is forgotten; it must not change the table.
  public func removeAll(
    _ list: inout SubscriptionList, lastOfFilter: (Span<UInt8>) -> Void = { _ in }
  ) {
    var slot = list.head
    while slot != 0 {
      let next = subscriptions[slot].nextInSession
      _ = remove(slot, lastOfFilter: lastOfFilter)
      slot = next
    }
    list = SubscriptionList()
  }

  /// Calls `body` with each subscription of a session and its filter, newest first: to write a
  /// session down, or to move it to another loop. `body` must not change the table.
  public func forEach(
    in list: SubscriptionList, _ body: (SubscriptionRecord, Span<UInt8>) -> Void
  ) {
    var slot = list.head
    while slot != 0 {
      let record = subscriptions[slot]
      filters.withText(of: record.filter) { body(record, $0) }
      slot = record.nextInSession
    }
  }

  /// Adds a record at the end of its filter's list. A filter that finds no room for its first
  /// subscription is forgotten again.
  func add(
    session: UInt32, filter: UInt32, text: Span<UInt8>, options: UInt8, identifier: UInt32,
    isShared: Bool
  ) -> SubscribeOutcome {
    let last = filters.records[filter].lastSubscription
    let record = SubscriptionRecord(
      owner: session, isShared: isShared, filter: filter, previousInFilter: last, options: options,
      identifier: identifier)
    guard let slot = subscriptions.insert(record) else {
      if last == 0 { filters.remove(filter) }
      return .refused
    }
    if last == 0 {
      filters.records[filter].firstSubscription = slot
      if let interest, !text.isShareFilter {
        interest.add(InterestKey(filter: text, seed: interest.seed), loop: loop)
      }
    } else {
      subscriptions[last].nextInFilter = slot
    }
    filters.records[filter].lastSubscription = slot
    filters.records[filter].subscriptionCount += 1
    return SubscribeOutcome(slot: slot, isNew: true, isFirstOfFilter: last == 0)
  }

  /// Removes a record from its filter's list and frees it; the session's list is the caller's.
  /// True when it was the filter's last, which is then forgotten.
  func remove(_ slot: UInt32, lastOfFilter: (Span<UInt8>) -> Void) -> Bool {
    let record = subscriptions[slot]
    let filter = record.filter
    if record.previousInFilter == 0 {
      filters.records[filter].firstSubscription = record.nextInFilter
    } else {
      subscriptions[record.previousInFilter].nextInFilter = record.nextInFilter
    }
    if record.nextInFilter == 0 {
      filters.records[filter].lastSubscription = record.previousInFilter
    } else {
      subscriptions[record.nextInFilter].previousInFilter = record.previousInFilter
    }
    subscriptions.remove(slot)
    filters.records[filter].subscriptionCount -= 1
    if filters.records[filter].subscriptionCount > 0 { return false }
    filters.withText(of: filter) { text in
      if let interest, !text.isShareFilter {
        interest.remove(InterestKey(filter: text, seed: interest.seed), loop: loop)
      }
      lastOfFilter(text)
    }
    filters.remove(filter)
    return true
  }
}

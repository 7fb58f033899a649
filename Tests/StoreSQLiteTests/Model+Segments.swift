import Store

@testable import StoreSQLite

/// Segments: how messages leave the model, which they do in the same portions as they leave the
/// log.
extension Model {
  /// A segment was told, which holds the next messages.
  mutating func add(_ segment: LogSegment) {
    var expiresAt: UInt32 = 1
    for message in messages
    where message.sequence >= segment.first && message.owed > 0
      && message.sequence < segment.first + UInt64(segment.span)
    {
      let expiry = message.sample.facts.expiresAt
      expiresAt = expiry == 0 || expiresAt == 0 ? 0 : max(expiresAt, expiry)
    }
    segments.append(
      Segment(
        first: segment.first, span: segment.span, messages: Int64(segment.records.count),
        bytes: Int64(segment.records.byteCount), appendedAt: now, expiresAt: expiresAt))
    firstUntold = segment.first + UInt64(segment.span)
  }

  /// Forgets segments of which nobody is owed a message.
  mutating func prune() {
    var live: Set<UInt64> = []
    var next = segments[...]
    for message in messages {
      // Both are in order.
      while let segment = next.first, !segment.contains(message) { next.removeFirst() }
      guard let segment = next.first, !live.contains(segment.first) else { continue }
      if remaining(message) > 0 { live.insert(segment.first) }
    }
    for segment in segments where !live.contains(segment.first) { remove(segment) }
  }

  private mutating func remove(_ segment: Segment) {
    messages.removeAll { segment.contains($0) }
    segments.removeAll { $0.first == segment.first }
  }

  private mutating func drop(_ segment: Segment) {
    var counts: [Int: UInt64] = [:]
    for message in messages where segment.contains(message) && remaining(message) > 0 {
      unreadTotal += 1
      for filter in message.filters { counts[filter, default: 0] += 1 }
    }
    let known = filters
    for (filter, count) in counts where known[filter] != nil {
      unread.append(Unread(filter: filter, through: segment.last, count: count))
    }
    remove(segment)
  }

  /// Housekeeping, until there is nothing left to be done.
  mutating func sweep() {
    for id in sessions.keys { sessions[id]?.left = nil }
    for segment in segments where segment.expiresAt > 0 && segment.expiresAt <= now {
      drop(segment)
    }
    while let oldest = segments.first {
      let messages = segments.reduce(0) { $0 + $1.messages }
      let bytes = segments.reduce(0) { $0 + $1.bytes }
      let isTooMany = limits.maximumMessages > 0 && messages > Int64(limits.maximumMessages)
      let isTooMuch = limits.maximumBytes > 0 && bytes > Int64(limits.maximumBytes)
      let isTooOld = limits.maximumAge > 0 && now > oldest.appendedAt + limits.maximumAge
      guard isTooMany || isTooMuch || isTooOld else { break }
      drop(oldest)
    }
    requests = requests.filter { $0.value > now }
    retained = retained.filter { $0.value.facts.expiresAt == 0 || $0.value.facts.expiresAt > now }
  }

  /// Clients whose sessions have something due.
  var due: Set<String> {
    Set(
      sessions.values.filter { session in
        let presence = session.presence
        guard !presence.isConnected else { return false }
        return (presence.expiresAt > 0 && presence.expiresAt <= now)
          || (presence.willDueAt > 0 && presence.willDueAt <= now)
      }.map(\.client))
  }

  /// The broker ended, and began anew at `second`.
  mutating func restart(at second: UInt32) {
    watchers = [:]
    for id in sessions.keys {
      sessions[id]?.forgetPages()
      guard var presence = sessions[id]?.left ?? sessions[id]?.presence, presence.isConnected else {
        continue
      }
      sessions[id]?.left = presence
      presence.isConnected = false
      // A second more: seconds are cut off, and none may be too early. A session that ends with its
      // connection has ended.
      if presence.expiryInterval == 0 {
        presence.expiresAt = second
      } else if presence.expiryInterval != .max {
        presence.expiresAt = second + presence.expiryInterval + 1
      }
      if let will = presence.will { presence.willDueAt = second + will.delay + 1 }
      sessions[id]?.presence = presence
    }
  }
}

import Store
import Testing

@testable import StoreSQLite

/// What loops are told, held against what the model says that they are to be told, in order.
extension Schedule {
  mutating func take(_ effects: [Engine.Effect]) throws {
    var expected = answers[...]
    // Where segments end: what a subscription is not owed must not be in one with what it is.
    var ends: Set<UInt64> = [model.firstUntold - 1]
    var dueClients: Set<String>?
    for effect in effects {
      switch effect {
      case .segment(let segment, let loops):
        try check(segment, loops)
        model.add(segment)
        ends.insert(model.firstUntold - 1)
      case .event(_, .due(let clients)):
        try #require(dueClients == nil, place)
        dueClients = Set(clients.map { String(decoding: $0, as: UTF8.self) })
        try #require(dueClients?.count == clients.count && dueClients == model.due, place)
        tally.due += clients.count
      case .event(let loop, .absent(let absent)): try check(absent, loop)
      case .event(let loop, let event):
        let answer = take(event, from: &expected)
        try check(event, loop, #require(answer, place))
      }
    }
    try #require(expected.isEmpty && model.firstUntold == model.nextSequence, place)
    try #require(absences.isEmpty, place)
    for case .committed(_, _, let end?) in answers { try #require(ends.contains(end), place) }
  }

  /// The answer that comes next, or of those that may come in any order the one that did.
  private func take(_ event: StoreEvent, from expected: inout ArraySlice<Answer>) -> Answer? {
    guard case .group(let asker, _) = event, case .tiding(_, let order, _)? = expected.first else {
      return expected.popFirst()
    }
    let place = expected.firstIndex { answer in
      guard case .tiding(let tiding, order, _) = answer else { return false }
      return tiding.watcher.asker == asker
    }
    return place.map { expected.remove(at: $0) }
  }

  private func check(_ segment: LogSegment, _ loops: UInt64) throws {
    let end = segment.first + UInt64(segment.span)
    let messages = model.messages.filter { $0.sequence >= segment.first && $0.sequence < end }
    try #require(
      segment.first == model.firstUntold && messages.count == Int(segment.span)
        && segment.samples == messages.map(\.sample), place)
    try #require(
      loops == messages.reduce(0) { $0 | Recorder.loops($1.sample.topic.count) }, place)
  }

  private mutating func check(_ event: StoreEvent, _ loop: Int, _ answer: Answer) throws {
    switch (event, answer) {
    case (.committed(let ticket), .committed(let expectedLoop, let expectedTicket, _)):
      try #require(loop == expectedLoop && ticket == expectedTicket, place)
    case (.refused(let pending), .refused(let expected)):
      tally.refused += 1
      try #require(pending == expected, place)
    case (.session(let found), .session(let session, let id, let unread, let lost, let end)):
      try #require(model.firstUntold == end + 1, place)
      try check(found.session, session, id, unread, lost)
    case (.unread(let asker, let count), .unread(let expected, let unread)):
      tally.unread += count
      try #require(asker == expected && count == unread, place)
    case (.page(let page), .page(let id, let query, let items, let end)):
      // It comes behind the segments of what was appended before, and before the others.
      try #require(model.firstUntold == end + 1, place)
      try require(page, asker: query.asker, epoch: query.epoch)
      try check(
        page, items, after: query.after, end, maximumMessages: query.maximumMessages,
        maximumBytes: query.maximumBytes)
      if model.sessions[id]?.epoch == page.epoch {
        model.sessions[id]?.pending += items.prefix(page.items.count)
        model.sessions[id]?.readThrough = page.through
      }
    case (.groupPage(let asked, let page), .groupPage(let query, let group, let items, let end)):
      try #require(model.firstUntold == end + 1, place)
      try check(page, asked, query, items, end, isGone: group == nil)
    case (.group(let asker, let found), .tiding(let tiding, _, let end)):
      try check(tiding.watcher, loop, asker, end)
      guard case .group(let image) = tiding.news else { return try #require(Bool(false), place) }
      try #require(found == image, place)
    case (.returned(let asker, let id, let found), .tiding(let tiding, _, let end)):
      try check(tiding.watcher, loop, asker, end)
      guard case .returned(let group, let sequence) = tiding.news else {
        return try #require(Bool(false), place)
      }
      try #require(id == group && found == sequence, place)
    case (.kept(let pending, let count), .kept(let expected, let subscriptions)):
      try #require(pending == expected && count == subscriptions, place)
    case (.noSession(let pending), .noSession(let expected)):
      tally.strangers += 1
      try #require(pending == expected, place)
    case (.sessions(let list), .sessions(let expected)):
      tally.listed += list.entries.count
      try #require(list == expected, place)
    case (.keys(let tag, let keys), .keys(let expectedTag, let expected)):
      tally.keys += keys.count
      let found = Dictionary(keys.map { ($0.key, $0.until) }) { first, _ in first }
      try #require(tag == expectedTag && keys.count == found.count && found == expected, place)
    default: Issue.record("\(event) is not what is to be told: \(answer), \(place)")
    }
  }

  /// Behind the segment, once for each message.
  private mutating func check(_ absent: AbsentClients, _ loop: Int) throws {
    let removed = absences.removeValue(forKey: absent.sequence)
    let expected = try #require(removed, place)
    let clients = Set(absent.clients.map { String(decoding: $0, as: UTF8.self) })
    tally.absent += clients.count
    try #require(
      loop == expected.loop && clients == expected.clients && absent.more == 0
        && clients.count == absent.clients.count && absent.sequence < model.firstUntold, place)
    let message = model.messages.first { $0.sequence == absent.sequence }
    try #require(message?.sample == Sample(absent.place), place)
  }

  private mutating func check(
    _ watcher: Model.Watcher, _ loop: Int, _ asker: Asker, _ end: UInt64
  ) throws {
    tally.tidings += 1
    try #require(model.firstUntold == end + 1, place)
    try #require(loop == watcher.loop && asker == watcher.asker, place)
  }

  private mutating func check(
    _ page: LogPage, _ asked: GroupQuery, _ query: GroupQuery, _ items: [Model.Item], _ end: UInt64,
    isGone: Bool
  ) throws {
    try #require(asked.asker == query.asker && asked.group == query.group, place)
    try #require(asked.sequences == query.sequences && asked.after == query.after, place)
    try require(page, asker: query.asker, epoch: 0)
    tally.groupItems += page.items.count
    guard query.sequences.isEmpty && !isGone else {
      // What is named is there or not; of a group that has ended, nothing is.
      try check(page, items)
      return try #require(
        page.items.count == items.count && page.through == query.after && !page.isAtEnd, place)
    }
    try check(
      page, items, after: query.after, end, maximumMessages: query.maximumMessages,
      maximumBytes: query.maximumBytes)
    // Meanwhile more may have been handed out.
    if let share = model.share(of: query.group), let group = model.groups[share] {
      model.groups[share]?.readThrough = max(group.readThrough, page.through)
    }
  }

  private func require(_ page: LogPage, asker: Asker, epoch: UInt32) throws {
    try #require(page.asker == asker && page.epoch == epoch, place)
  }

  /// Whether a page begins with the first of what is owed.
  private func check(_ page: LogPage, _ items: [Model.Item]) throws {
    let found = page.items.map { item in
      Model.Item(
        sequence: item.sequence, count: item.count, qos: item.qos, retain: item.retain,
        identifiers: item.identifiers.sorted())
    }
    try #require(found == Array(items.prefix(found.count)), place)
    for item in page.items {
      // What was dropped since is known to the page alone.
      guard let message = model.messages.first(where: { $0.sequence == item.sequence }) else {
        continue
      }
      try #require(Sample(item.place) == message.sample, place)
    }
  }

  private mutating func check(
    _ page: LogPage, _ items: [Model.Item], after start: UInt64, _ end: UInt64,
    maximumMessages: Int, maximumBytes: Int
  ) throws {
    try check(page, items)
    let rest = items.dropFirst(page.items.count)
    if page.isAtEnd {
      try #require(rest.isEmpty && page.through == end, place)
    } else {
      tally.partialPages += 1
      try #require(page.through > start && page.through <= end, place)
      try #require(rest.allSatisfy { $0.sequence > page.through }, place)
    }
    try #require(page.items.allSatisfy { $0.sequence <= page.through }, place)
    try #require(page.items.count <= maximumMessages, place)
    let bytes = page.items.dropLast().reduce(0) { sum, item in
      let offset = item.place.offset
      return sum + item.place.segment.records.offset(after: offset) - offset
    }
    try #require(bytes < maximumBytes, place)
  }

  private func check(
    _ found: StoredSession?, _ session: Model.Session?, _ id: StoredSessionID, _ unread: UInt64,
    _ lost: Set<UInt64>
  ) throws {
    guard let session else { return try #require(found == nil, place) }
    let found = try #require(found, place)
    try #require(found.id == id && found.unread == unread, place)
    try #require(found.presence == session.presence, place)
    try #require(found.progress == session.progress, place)
    var subscriptions: [String: StoredSubscription] = [:]
    for subscription in found.subscriptions {
      subscriptions[String(decoding: subscription.filter, as: UTF8.self)] = subscription
    }
    try #require(
      subscriptions.count == found.subscriptions.count
        && subscriptions.count == session.subscriptions.count, place)
    for (filter, expected) in session.subscriptions {
      let subscription = subscriptions[Vocabulary.filters[filter]]
      try #require(
        subscription?.options == expected.options
          && subscription?.identifier == expected.identifier, place)
    }
    let named = Set(session.progress.window.map(\.sequence)).subtracting(lost).subtracting([0])
    try #require(Set(found.messages.keys) == named, place)
    for (sequence, message) in found.messages {
      guard let expected = model.messages.first(where: { $0.sequence == sequence }) else {
        continue
      }
      try #require(Sample(message) == expected.sample, place)
    }
  }

  /// Segments may be written anew, without what nobody is owed.
  mutating func noteCompaction() throws {
    let rows = try bench.database.statement("SELECT messages, bytes FROM log WHERE sequence = ?1")
    for number in model.segments.indices {
      rows.bind(1, model.segments[number].first)
      guard try rows.step() else { continue }
      if rows.number(0) < model.segments[number].messages { tally.compacted += 1 }
      try #require(rows.number(0) <= model.segments[number].messages, place)
      model.segments[number].messages = rows.number(0)
      model.segments[number].bytes = rows.number(1)
      rows.reset()
    }
  }
}

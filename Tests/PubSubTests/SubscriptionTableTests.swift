import Testing
import Util

@testable import PubSub

/// A session: what the table keeps in it, and what it should have.
private struct SessionLists {
  var list = SubscriptionList()
  var model: [String: UInt32] = [:]
}

@Suite struct SubscriptionTableTests {
  /// The sessions that a publish would serve, by filter, in order.
  private func served(_ table: SubscriptionTable, _ topic: String) -> [String: [UInt32]] {
    var hits = MatchedFilters()
    table.filters.match(topic.bytes.span, into: &hits)
    var found: [String: [UInt32]] = [:]
    for index in 0..<hits.count {
      var sessions: [UInt32] = []
      var slot = table.firstSubscription(of: hits[index])
      while slot != 0 {
        sessions.append(table[slot].session)
        slot = table[slot].nextInFilter
      }
      found[table.filters.text(of: hits[index])] = sessions
    }
    return found
  }

  @Test func oldestFirstAndReplaced() {
    let table = SubscriptionTable(capacity: 1000, seed: testSeed)
    var lists = [SessionLists](repeating: SessionLists(), count: 5)
    for session in 1...4 {
      let outcome = table.subscribe(
        session: UInt32(session), filter: "a/+".bytes.span, options: 1, identifier: 0,
        list: &lists[session].list)
      #expect(outcome.isNew && outcome.isFirstOfFilter == (session == 1))
    }
    let again = table.subscribe(
      session: 2, filter: "a/+".bytes.span, options: 2, identifier: 9,
      list: &lists[2].list)
    // Replaced where it is, not added [MQTT-3.8.4-3].
    #expect(!again.isNew && !again.isFirstOfFilter && lists[2].list.count == 1)
    #expect(table[again.slot].options == 2 && table[again.slot].identifier == 9)
    #expect(served(table, "a/x") == ["a/+": [1, 2, 3, 4]])
    let gone = table.unsubscribe(
      session: 2, filter: "a/+".bytes.span, list: &lists[2].list)
    #expect(gone == .removed && lists[2].list.head == 0 && lists[2].list.count == 0)
    let unknown = table.unsubscribe(
      session: 2, filter: "a/+".bytes.span, list: &lists[2].list)
    #expect(unknown == .notFound)
    #expect(served(table, "a/x") == ["a/+": [1, 3, 4]])
  }

  @Test func groupBesideSessions() {
    let interest = InterestIndex(seed: testSeed)
    let table = SubscriptionTable(capacity: 1000, seed: testSeed, interest: interest, loop: 3)
    var lists = SessionLists()
    // Group 7 is not session 7.
    let group = table.subscribe(group: 7, filter: "a".bytes.span)
    #expect(group.isNew && table[group.slot].isShared)
    let own = table.subscribe(
      session: 7, filter: "a".bytes.span, options: 0, identifier: 0, list: &lists.list)
    #expect(own.isNew && !own.isFirstOfFilter && own.slot != group.slot)
    // What the session keeps of its share is remembered, and neither served nor told.
    let share = table.subscribe(
      session: 7, filter: "$share/g/a/#".bytes.span, options: 0, identifier: 0,
      list: &lists.list)
    #expect(share.isNew && interest.count == 1)
    #expect(served(table, "a") == ["a": [7, 7]])
    var texts: [String] = []
    table.forEach(in: lists.list) { texts.append($1.description) }
    #expect(texts == ["$share/g/a/#", "a"])
    table.removeAll(&lists.list)
    #expect(interest.loops("a") == 1 << 3)
    #expect(table.unsubscribe(group: group.slot) == .removedLastOfFilter)
    #expect(interest.loops("a") == 0 && table.count == 0 && table.filters.count == 0)
  }

  @Test func refusalsLeaveNothingBehind() {
    let table = SubscriptionTable(capacity: 2, seed: testSeed)
    var lists = SessionLists()
    var number = 0
    while true {
      let outcome = table.subscribe(
        session: 1, filter: "f/\(number)".bytes.span, options: 0, identifier: 0,
        list: &lists.list)
      if outcome.isRefused || number > 100_000 { break }
      number += 1
    }
    #expect(number < 100_000 && lists.list.count == UInt32(number))
    #expect(table.count == number && table.filters.count == number)
    #expect(table.filters.texts.count == number)
    table.removeAll(&lists.list)
    #expect(table.filters.texts.count == 0 && lists.list.head == 0 && lists.list.count == 0)
  }

  /// Two loops, many sessions, one interest index; the model is a dictionary per session.
  @Test(arguments: [31, 32, 33] as [UInt64])
  func randomAgainstModel(seed: UInt64) {
    var source = TopicSource(seed: seed)
    let interest = InterestIndex(seed: testSeed)
    let tables = [0, 9].map {
      SubscriptionTable(capacity: 100_000, seed: testSeed, interest: interest, loop: $0)
    }
    var sessions = [[SessionLists]](
      repeating: [SessionLists](repeating: SessionLists(), count: 40), count: 2)
    for step in 0..<20_000 {
      let side = source.below(2)
      let session = source.below(40)
      let table = tables[side]
      if source.chance(200) {
        var last: [String] = []
        let before = Set(sessions[side][session].model.keys)
        table.removeAll(
          &sessions[side][session].list
        ) { last.append($0.description) }
        sessions[side][session].model = [:]
        let kept = Set(sessions[side].flatMap(\.model.keys))
        #expect(Set(last) == before.subtracting(kept), "seed \(seed), step \(step)")
      } else if step / 4000 % 2 == 0 ? !source.chance(3) : source.chance(3) {
        let filter = source.filter()
        let isFirst = !sessions[side].contains { $0.model[filter] != nil }
        let isNew = sessions[side][session].model[filter] == nil
        let outcome = table.subscribe(
          session: UInt32(session), filter: filter.bytes.span, options: UInt8(step & 3),
          identifier: UInt32(step), list: &sessions[side][session].list)
        #expect(outcome.isNew == isNew && outcome.isFirstOfFilter == isFirst)
        #expect(table[outcome.slot].identifier == UInt32(step))
        sessions[side][session].model[filter] = UInt32(step)
      } else {
        let known = sessions[side][session].model.randomElement(using: &source.generator)
        let filter = known?.key ?? source.filter()
        let outcome = table.unsubscribe(
          session: UInt32(session), filter: filter.bytes.span,
          list: &sessions[side][session].list)
        sessions[side][session].model[filter] = nil
        let isLast = !sessions[side].contains { $0.model[filter] != nil }
        let expected: UnsubscribeOutcome =
          known == nil ? .notFound : isLast ? .removedLastOfFilter : .removed
        #expect(outcome == expected, "seed \(seed), step \(step)")
      }
      if step % 40 == 0 {
        let topic = source.topic()
        var loops: UInt64 = 0
        for side in 0..<2 {
          var expected: [String: Set<UInt32>] = [:]
          for (number, session) in sessions[side].enumerated() {
            for filter in session.model.keys where Naive.matches(filter, topic) {
              expected[filter, default: []].insert(UInt32(number))
            }
          }
          let found = served(tables[side], topic)
          #expect(found.mapValues { Set($0) } == expected, "seed \(seed), step \(step)")
          #expect(found.values.allSatisfy { Set($0).count == $0.count })
          if !expected.isEmpty { loops |= 1 << UInt64(tables[side].loop) }
        }
        #expect(interest.loops(topic) & loops == loops, "seed \(seed), step \(step), \(topic)")
        for (number, session) in sessions[side].enumerated() {
          var found: [String: UInt32] = [:]
          tables[side].forEach(in: session.list) { record, text in
            found[text.description] = record.identifier
            #expect(record.session == UInt32(number))
          }
          #expect(found == session.model && Int(session.list.count) == session.model.count)
        }
      }
    }
    for side in 0..<2 {
      for session in 0..<40 {
        tables[side].removeAll(
          &sessions[side][session].list)
      }
      #expect(tables[side].count == 0 && tables[side].filters.count == 0)
      #expect(tables[side].filters.texts.count == 0 && tables[side].filters.nodeCount == 0)
    }
    #expect(interest.count == 0)
    for _ in 0..<100 { #expect(interest.loops(source.topic()) == 0) }
  }
}

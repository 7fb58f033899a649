import Dispatch
import Packet
import Session
import Synchronization
import Testing

@Suite struct ClientEventsTests {
  private func event(_ number: Int) -> ClientEvent {
    ClientEvent(
      clientID: Array("\(number)".utf8), time: Int64(number),
      what: .unsubscribed(filter: Array("a".utf8)))
  }

  private func times(_ reading: ClientEvents.Reading) -> [Int64]? {
    guard case .events(let events, _) = reading else { return nil }
    return events.map(\.time)
  }

  @Test func aWatcherReadsWhatHappensBehindItsPlace() {
    let events = ClientEvents(capacity: 4, keptMilliseconds: 60_000)
    #expect(!events.isWatched)
    var place = events.enter()
    #expect(events.isWatched)
    #expect(times(events.read(after: place, maximum: 10)) == [])
    for number in 1...3 { events.append(event(number)) }
    #expect(times(events.read(after: place, maximum: 2)) == [1, 2])
    guard case .events(_, let next) = events.read(after: place, maximum: 2) else { return }
    place = next
    #expect(times(events.read(after: place, maximum: 10)) == [3])
    for number in 4...7 { events.append(event(number)) }
    // 3 is gone: four have come since.
    #expect(times(events.read(after: place, maximum: 10)) == nil)
    #expect(times(events.read(after: place + 1, maximum: 10)) == [4, 5, 6, 7])
    #expect(times(events.read(after: place + 5, maximum: 10)) == [])
    #expect(times(events.read(after: place + 6, maximum: 10)) == nil)
  }

  @Test func itIsWokenOnce() {
    let events = ClientEvents(capacity: 4, keptMilliseconds: 60_000)
    let place = events.enter()
    let woken = Atomic<Int>(0)
    let wake: @Sendable () -> Void = { woken.add(1, ordering: .relaxed) }
    let forgotten = events.whenMore(after: place, wake)
    events.forget(forgotten)
    _ = events.whenMore(after: place, wake)
    events.append(event(1))
    events.append(event(2))
    #expect(woken.load(ordering: .relaxed) == 1)
    _ = events.whenMore(after: place, wake)
    #expect(woken.load(ordering: .relaxed) == 2)
  }

  @Test func whatNobodyCameBackForIsNotGoneOnFrom() {
    let events = ClientEvents(capacity: 4, keptMilliseconds: 0)
    let place = events.enter()
    events.append(event(1))
    events.leave()
    while events.isWatched { events.append(event(2)) }
    let again = events.enter()
    #expect(times(events.read(after: place, maximum: 10)) == nil)
    #expect(times(events.read(after: again, maximum: 10)) == [])
    events.append(event(3))
    #expect(times(events.read(after: again, maximum: 10)) == [3])
  }
}

import Testing

@testable import Bench

@Suite struct ClosedWindowTests {
  @Test func halfAWindowIsSentAtOnce() {
    var window = ClosedWindow(limit: 10, fan: 1, isAcknowledged: false)
    #expect(window.credit == 10)
    window.send(10)
    #expect(window.credit == 0)
    window.deliver(4)
    #expect(window.credit == 0)
    window.deliver(1)
    #expect(window.credit == 5)
  }

  @Test func aWindowOfOneGoesOn() {
    var window = ClosedWindow(limit: 1, fan: 1, isAcknowledged: false)
    for _ in 0..<3 {
      #expect(window.credit == 1)
      window.send(1)
      #expect(window.credit == 0)
      window.deliver(1)
    }
  }

  @Test func allDeliveriesOfAMessageCount() {
    var window = ClosedWindow(limit: 2, fan: 3, isAcknowledged: false)
    window.send(2)
    window.deliver(2)
    #expect(window.outstanding == 2)
    window.deliver(1)
    #expect(window.outstanding == 1)
    window.deliver(3)
    #expect(window.outstanding == 0)
  }

  @Test func acknowledgementsAndDeliveriesAreBothNeeded() {
    var window = ClosedWindow(limit: 4, fan: 1, isAcknowledged: true)
    window.send(4)
    window.deliver(4)
    #expect(window.outstanding == 4)
    window.acknowledge(3)
    #expect(window.outstanding == 1)
    #expect(window.credit == 3)
  }

  @Test func forgivenMessagesHoldNothingUp() {
    var window = ClosedWindow(limit: 4, fan: 1, isAcknowledged: false)
    window.send(4)
    window.deliver(1)
    window.forgive()
    #expect(window.outstanding == 0)
    #expect(window.credit == 4)
    // One that comes late after all must not make the number of those under way negative.
    window.deliver(2)
    #expect(window.outstanding == 0)
    window.send(4)
    #expect(window.outstanding == 2)
  }
}

@Suite struct StampTests {
  @Test(arguments: [
    (0, 0), (1, 7), ((1 << 24) - 1, (1 << 40) - 1),
  ])
  func aStampSurvives(_ publisher: Int, _ sequence: Int) {
    let stamp = Stamp(time: 5, publisher: publisher, sequence: UInt64(sequence))
    #expect(Stamp(time: 5, word: stamp.word) == stamp)
  }

  @Test func orderIsTold() {
    var tracker = SequenceTracker()
    let seen = [0, 1, 2, 5, 3, 5, 6, 4].map { tracker.see(UInt64($0)) }
    #expect(seen == [.inOrder, .inOrder, .inOrder, .ahead, .late, .late, .inOrder, .late])
  }
}

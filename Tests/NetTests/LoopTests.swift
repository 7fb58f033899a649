import Glibc
import Synchronization
import Testing
import Util

@testable import Net

/// How much came from each of some senders, and whether in order.
private final class Tally: Sendable {
  private struct State {
    var counts: [Int]
    var misplaced = 0
  }

  private let state: Mutex<State>

  init(_ senders: Int) { state = Mutex(State(counts: Array(repeating: 0, count: senders))) }

  func count(_ sender: Int, isNext number: Int) {
    state.withLock {
      if $0.counts[sender] != number { $0.misplaced += 1 }
      $0.counts[sender] += 1
    }
  }

  var counts: [Int] { state.withLock { $0.counts } }
  var misplaced: Int { state.withLock { $0.misplaced } }
}

extension NetTests {
  /// Timers, letters, hand-overs, and a loop without descriptors.
  @Suite struct LoopTests {
    @Test func timersFireOnceAndNotEarly() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, slot) = try loop.connect()
      let (other, quiet) = try loop.connect()
      let start = MonotonicClock.milliseconds
      try loop.perform { handler in
        handler.onTimer = { handler, slot in
          // Setting it anew, and stopping another one, from inside.
          handler.onTimer = { _, _ in }
          handler.loop.setTimer(slot, at: handler.loop.now + 2)
          handler.loop.cancelTimer(quiet)
        }
        handler.loop.setTimer(slot, at: handler.loop.now + 2)
        handler.loop.setTimer(quiet, at: handler.loop.now + 3)
      }
      try loop.log.wait { events in events.count { $0 == .timer(slot) } == 2 }
      // Two times two ticks, of which the first one may have begun.
      let passed = MonotonicClock.milliseconds - start
      #expect(passed >= 250)
      #expect(passed < 3000)
      #expect(!loop.log.events.contains(.timer(quiet)))
      withExtendedLifetime((peer, other)) {}
    }

    @Test func theHandlerIsCalledWhenItWishes() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let before = try loop.perform { handler in
        // Also for a tick that has passed, which means at once.
        handler.wish = { $0 - 3 }
        return handler.turns
      }
      let turns = Promise<Int>()
      try loop.perform { handler in
        nonisolated(unsafe) var count = 0
        handler.wish = { [unowned handler] now in
          unsafe count += 1
          if unsafe count == 5 { turns.give(handler.turns) }
          return unsafe count < 5 ? now + 1 : nil
        }
      }
      #expect(try turns.wait() > before)
    }

    @Test func lettersOfEachSenderKeepTheirOrder() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let senders = 4
      let each = 5_000
      let tally = Tally(senders)
      var threads: [LoopThread] = []
      for sender in 0..<senders {
        let mailbox = loop.mailbox
        let thread = try LoopThread(name: "sender-\(sender)") {
          for number in 0..<each {
            mailbox.post(Order { _ in tally.count(sender, isNext: number) })
          }
        }
        threads.append(thread)
      }
      for thread in threads { thread.join() }
      try loop.wait("all letters") { _ in
        tally.counts == [Int](repeating: each, count: senders)
      }
      #expect(tally.misplaced == 0)
    }

    /// A letter that is posted while others are taken must wake the owner again, or be taken with
    /// them without leaving the mailbox as if a wake-up were under way.
    @Test func noWakeUpIsLost() throws {
      let mailbox = Mailbox<Int>(wakeUp: try WakeUp())
      let total = 200_000
      let sender = try LoopThread(name: "sender") {
        var random = SplitMix(state: 7)
        for number in 0..<total {
          mailbox.post(number)
          // Pauses of any length, so that posts meet each step of the other side.
          for _ in 0..<Int.random(in: 0..<40, using: &random) { _ = random.next() }
        }
      }
      var letters: [Int] = []
      var next = 0
      while next < total {
        var wait = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&wait, 1, 2_000) == 1 else {
          Issue.record("asleep after \(next) of \(total) letters")
          break
        }
        mailbox.take(&letters)
        for letter in letters {
          if letter != next { Issue.record("\(letter) instead of \(next)") }
          next = letter + 1
        }
        letters.removeAll(keepingCapacity: true)
      }
      sender.join()
    }

    @Test(arguments: [false, true])
    func handOver(isPrivate: Bool) throws {
      let ways = [try Ways(), try Ways()]
      let from = try TestLoop(isPrivate: isPrivate, ways: ways[0])
      let to = try TestLoop(isPrivate: isPrivate, ways: ways[1])
      defer {
        from.stop()
        to.stop()
      }
      try to.perform { handler in handler.onMessage = { $0.write($1, frame($2)) } }
      // The first message moves the connection, with what lies behind it.
      try from.perform { handler in
        handler.onMessage = { handler, slot, body in
          guard case .gone(let token) = handler.loop.handOver(slot, through: to.passage, salt: 3)
          else { return }
          to.mailbox.post(
            Order { other in
              _ = other.loop.adopt(token, from: to.passage, bytes: frame(body))
            })
        }
      }
      var peers: [Peer] = []
      for index in 0..<40 {
        let peer = try Peer(port: from.port)
        try peer.send(frame(body(index)))
        #expect(try peer.receive(exactly: 4 + index) == frame(body(index)))
        peers.append(peer)
      }
      #expect(try from.perform { $0.loop.isEmpty })
      #expect(try to.perform { $0.loop.connections.count } == 40)
      // The old loop hears no more of them: it sleeps.
      let before = try from.perform { $0.turns }
      for _ in 0..<10 {
        for peer in peers { try peer.send(frame(body(50_000))) }
        for peer in peers { #expect(try peer.receive(exactly: 50_004) == frame(body(50_000))) }
      }
      let turns = try from.perform { $0.turns } - before
      #expect(turns < 10)
      #expect(try to.perform { $0.loop.blocks.count } == 0)
    }

    @Test func lettersMayComeInAnotherOrderThanTheirSockets() throws {
      let from = try TestLoop()
      let to = try TestLoop()
      defer {
        from.stop()
        to.stop()
      }
      try to.perform { handler in handler.onMessage = { $0.write($1, frame($2)) } }
      let clients = try (0..<3).map { _ in try from.connect() }
      let tokens = try from.perform { handler in
        clients.compactMap { client -> UInt64? in
          guard
            case .gone(let token) = handler.loop.handOver(
              client.slot, through: to.passage, salt: 1)
          else { return nil }
          return token
        }
      }
      try #require(tokens.count == 3)
      for index in [2, 0, 1] {
        let isThere = try to.perform { handler in
          let message = frame(body(index))
          return handler.loop.adopt(
            tokens[index], from: to.passage, bytes: message) != nil
        }
        #expect(isThere)
        #expect(try clients[index].peer.receive(exactly: 4 + index) == frame(body(index)))
      }
      // A number under which nothing came.
      let isUnknown = try to.perform { handler in
        handler.loop.adopt(99, from: to.passage, bytes: []) == nil
      }
      #expect(isUnknown)
      #expect(try to.perform { $0.loop.passageArrivals.isEmpty })
    }

    @Test func aFullPassageSaysLater() throws {
      let from = try TestLoop()
      let to = try TestLoop()
      defer {
        from.stop()
        to.stop()
      }
      var peers: [Peer] = []
      var isFull = false
      while !isFull && peers.count < 900 {
        let (peer, slot) = try from.connect()
        peers.append(peer)
        isFull = try from.perform { handler in
          if case .later = handler.loop.handOver(slot, through: to.passage, salt: 1) {
            return true
          }
          return false
        }
      }
      #expect(isFull)
      // The connection is still there, and works.
      try peers[peers.count - 1].send(frame([1, 2]))
      try from.log.wait { events in
        events.contains { if case .message = $0 { true } else { false } }
      }
      #expect(try from.perform { $0.loop.connections.count } == 1)
    }

    @Test func withoutDescriptorsClientsWait() throws {
      try #require(openFileLimit() <= 1 << 20)
      let loop = try TestLoop(isPrivate: true)
      defer { loop.stop() }
      try loop.perform { handler in handler.onMessage = { $0.write($1, frame($2)) } }
      // The table is the loop's own, so that nobody else misses what is taken here.
      let taken = try loop.perform { _ in
        var taken: [Int32] = []
        while case let copy = dup(0), copy >= 0 { taken.append(copy) }
        return taken
      }
      try #require(!taken.isEmpty)
      let peer = try Peer(port: loop.port)
      try peer.send(frame([1, 2, 3]))
      try loop.wait("the hold") { $0.loop.acceptHeldUntil != 0 }
      let refused = try loop.perform { $0.loop.statistics.refused }
      #expect(refused == 1)
      // Held, and not asked for again and again.
      let before = try loop.perform { $0.turns }
      for _ in 0..<20 { _ = try loop.perform { _ in true } }
      #expect(try loop.perform { $0.turns } - before <= 25)
      try loop.perform { _ in for copy in taken { close(copy) } }
      #expect(try peer.receive(exactly: 7) == frame([1, 2, 3]))
      #expect(try loop.perform { $0.loop.statistics.accepted } == 1)
    }

    @Test func aPortThatIsTakenIsRefused() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let port = loop.port
      let mailbox = Mailbox<Order>(wakeUp: try WakeUp())
      let other = try Loop<FakeHandler>(mailbox: mailbox, maximumConnections: 10)
      for sharing in [Loop<FakeHandler>.PortSharing.none, .first] {
        do {
          try other.listen(on: "127.0.0.1", port: port, sharing: sharing)
          Issue.record("two programs at one port")
        } catch {
          #expect(error.code == EADDRINUSE)
          #expect(error.description.contains("listen on 127.0.0.1:\(port)"))
        }
      }
      do {
        try other.listen(on: "localhost", port: 0, sharing: .none)
        Issue.record("a name is no address")
      } catch {
        #expect(error.code == EINVAL)
      }
    }

    @Test func aFullSlabRefusesAndGoesOn() throws {
      let loop = try TestLoop(maximumConnections: 1)
      defer { loop.stop() }
      let room = try loop.perform { handler in
        // A slab rounds its size up to whole chunks.
        var count = 0
        while handler.loop.connections.insert(
          Connection(descriptor: -1, generation: 0, lastReceived: 0)) != nil
        { count += 1 }
        return count
      }
      #expect(room > 0)
      let peer = try Peer(port: loop.port)
      #expect(try peer.isAtEnd())
      try loop.wait("the refusal") { $0.loop.statistics.refused == 1 }
      try loop.perform { $0.loop.connections.remove(1) }
      let (_, slot) = try loop.connect()
      #expect(slot == 1)
    }

    @Test func stopAcceptingLeavesConnections() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      try loop.perform { handler in handler.onMessage = { $0.write($1, frame($2)) } }
      let (peer, _) = try loop.connect()
      try loop.perform { $0.loop.stopAccepting() }
      #expect(throws: TestFailure.self) { try Peer(port: loop.port) }
      try peer.send(frame([5]))
      #expect(try peer.receive(exactly: 5) == frame([5]))
    }

    @Test func theEndOfALoopClosesWhatIsLeft() throws {
      let loop = try TestLoop()
      let (peer, _) = try loop.connect()
      loop.stop()
      #expect(try peer.isAtEnd())
    }
  }
}

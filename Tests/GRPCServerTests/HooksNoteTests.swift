import BifrostAPI
import GRPCCore
import Packet
import Session
import Testing

@testable import GRPCServer

/// Notes to backends.
struct HooksNoteTests {
  private func note(_ number: Int) -> DeliveredNote {
    DeliveredNote(
      client: HookedClient("c"), key: Array("\(number)".utf8), topic: Array("t".utf8), time: 1)
  }

  private func keys(_ backend: FakeBackend) -> [String] {
    backend.service.delivered.flatMap { $0.delivered.map(\.key) }
  }

  @Test func eachKindOfNoteSaysWhatHappened() async throws {
    let backend = try await FakeBackend()
    let options = hookOptions {
      $0.delivered = HookPointOptions(backend.address)
      $0.unsubscribe = HookPointOptions(backend.address)
      $0.disconnect = HookPointOptions(backend.address)
      $0.offline = HookPointOptions(backend.address)
    }
    let identity = Identity(userName: Array("u".utf8), attributes: ["a": "1"])
    var client = HookedClient("c", user: "own")
    client.identity = identity
    client.peer = "192.0.2.1:5"
    try await withRunner(options) { [client] runner in
      runner.delivered(
        DeliveredNote(client: client, key: [0x6B], topic: [0x74], time: 1_234))
      runner.unsubscribed(client, filters: [Array("a/#".utf8), Array("b".utf8)])
      runner.disconnected(
        client, ConnectionEnd(text: "gone", reason: .keepAliveTimeout, time: 99))
      runner.offline(
        OutsideMessage(topic: [0x74], payload: [1, 2]), clients: [[0x31], [0x32]])
      try await until {
        !backend.service.delivered.isEmpty && !backend.service.unsubscribed.isEmpty
          && !backend.service.disconnected.isEmpty && !backend.service.offline.isEmpty
      }
    }
    let delivered = try #require(backend.service.delivered.first?.delivered.first)
    #expect(delivered.key == "k" && delivered.topic == "t" && delivered.timeMilliseconds == 1_234)
    #expect(delivered.client.userName == "u" && delivered.client.attributes == ["a": "1"])
    #expect(delivered.client.peer == "192.0.2.1:5")
    #expect(backend.service.unsubscribed.first?.unsubscribed.first?.filters == ["a/#", "b"])
    let ended = try #require(backend.service.disconnected.first?.disconnected.first)
    #expect(ended.reason == "gone" && ended.reasonCode == 0x8D && ended.timeMilliseconds == 99)
    let offline = try #require(backend.service.offline.first?.messages.first)
    #expect(offline.clientIds == ["1", "2"] && offline.message.payload == .init([1, 2]))
    await backend.stop()
  }

  @Test func notesStayInOrderAndGoTogether() async throws {
    let gate = Gate()
    let backend = try await FakeBackend(FakeHooks(note: { try await gate.pass() }))
    try await withRunner(
      hookOptions { $0.delivered = HookPointOptions(backend.address) }
    ) { runner in
      runner.delivered(note(0))
      try await until { backend.service.mostNotesAtOnce == 1 }
      for number in 1..<1000 { runner.delivered(note(number)) }
      gate.release()
      try await until { keys(backend).count == 1000 }
    }
    #expect(keys(backend) == (0..<1000).map(String.init))
    #expect(backend.service.mostNotesAtOnce == 1)
    #expect(backend.service.delivered.count <= 5)
    #expect(backend.service.delivered.allSatisfy { $0.delivered.count <= HookLimits.batchCount })
    await backend.stop()
  }

  @Test func notesThatFailAreToldAgainInOrder() async throws {
    let calls = Tally()
    let backend = try await FakeBackend(
      FakeHooks(note: {
        if calls.add() % 2 == 0 { throw RPCError(code: .unavailable, message: "ill") }
      }))
    let options = hookOptions {
      $0.breakerFailures = 1
      $0.breakerPauseMilliseconds = 1
      $0.delivered = HookPointOptions(backend.address)
    }
    try await withRunner(options) { runner in
      for number in 0..<300 { runner.delivered(note(number)) }
      try await until { keys(backend).count == 300 }
      #expect(runner.statistics.points["delivered"]?.dropped == 0)
    }
    #expect(keys(backend) == (0..<300).map(String.init))
    await backend.stop()
  }

  @Test func notesThatNobodyTakesAreDropped() async throws {
    let isWell = Tally()
    let backend = try await FakeBackend(
      FakeHooks(note: {
        if isWell.value == 0 { throw RPCError(code: .unavailable, message: "ill") }
      }))
    let options = hookOptions {
      $0.breakerFailures = 100
      $0.delivered = HookPointOptions(backend.address) { $0.retries = 1 }
    }
    try await withRunner(options) { runner in
      runner.delivered(note(0))
      try await until { runner.statistics.points["delivered"]?.dropped == 1 }
      _ = isWell.add()
      runner.delivered(note(1))
      try await until { keys(backend) == ["1"] }
    }
    await backend.stop()
  }

  @Test func whatTheQueueDoesNotTakeIsDropped() async throws {
    let gate = Gate()
    let backend = try await FakeBackend(FakeHooks(note: { try await gate.pass() }))
    let options = hookOptions {
      $0.delivered = HookPointOptions(backend.address) { $0.maximumQueued = 2 }
    }
    try await withRunner(options) { runner in
      runner.delivered(note(0))
      try await until { backend.service.mostNotesAtOnce == 1 }
      for number in 1..<5 { runner.delivered(note(number)) }
      #expect(runner.statistics.points["delivered"]?.dropped == 2)
      gate.release()
      try await until { keys(backend) == ["0", "1", "2"] }
    }
    await backend.stop()
  }

  @Test func aMessageForManyBecomesSeveralEntries() async throws {
    let backend = try await FakeBackend()
    let clients = (0..<HookLimits.offlineClients + 1).map { Array("client-\($0)".utf8) }
    try await withRunner(
      hookOptions { $0.offline = HookPointOptions(backend.address) }
    ) { runner in
      runner.offline(OutsideMessage(topic: [0x74], payload: []), clients: clients)
      try await until { backend.service.offline.flatMap(\.messages).count == 2 }
    }
    let entries = backend.service.offline.flatMap(\.messages)
    #expect(entries.map(\.clientIds.count) == [HookLimits.offlineClients, 1])
    #expect(entries.flatMap(\.clientIds).count == clients.count)
    await backend.stop()
  }

  @Test func toStopTellsWhatWaits() async throws {
    let gate = Gate()
    let backend = try await FakeBackend(FakeHooks(note: { try await gate.pass() }))
    try await withRunner(
      hookOptions { $0.delivered = HookPointOptions(backend.address) }
    ) { runner in
      for number in 0..<500 { runner.delivered(note(number)) }
      gate.release()
      await runner.stop(within: .seconds(60))
      runner.delivered(note(500))
      #expect(runner.statistics.points["delivered"]?.dropped == 1)
    }
    #expect(keys(backend) == (0..<500).map(String.init))
    await backend.stop()
  }

  @Test func toStopDoesNotWaitForABackendThatHangs() async throws {
    let gate = Gate()
    let backend = try await FakeBackend(FakeHooks(note: { try await gate.pass() }))
    try await withRunner(
      hookOptions { $0.delivered = HookPointOptions(backend.address) }
    ) { runner in
      for number in 0..<500 { runner.delivered(note(number)) }
      try await until { backend.service.mostNotesAtOnce == 1 }
      await runner.stop(within: .milliseconds(10))
      #expect(runner.statistics.points["delivered"]?.dropped == 500)
    }
    await backend.stop()
  }
}

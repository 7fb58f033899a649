import Dispatch
import Packet
import Session
import Store
import Synchronization
import Testing

@testable import MQTTServer

extension BrokerTests {
  /// Lists of clients, while others come and go.
  @Suite struct GatewayListTests {
    private func names(_ entries: [ClientPage.Entry]) -> [String] {
      entries.map { String(decoding: $0.client.clientID, as: UTF8.self) }
    }

    /// Lists again and again while clients come and go, and checks that those who stay are there once.
    private func check(
      _ broker: TestBroker, stay: Set<String>, maximum: Int, isStored: Bool
    ) throws {
      let isOver = Atomic<Bool>(false)
      let threads = DispatchGroup()
      threads.enter()
      DispatchQueue.global().async {
        var number = 0
        while !isOver.load(ordering: .relaxed) {
          number += 1
          // Some clean ones, some that last.
          let client = try? broker.client("guest-\(number % 50)", expiry: number % 2 == 0 ? 60 : 0)
          try? client?.disconnect()
        }
        threads.leave()
      }
      defer {
        isOver.store(true, ordering: .relaxed)
        threads.wait()
      }
      for _ in 0..<4 {
        let entries = try broker.list { $0.maximum = maximum }
        let staying = names(entries).filter { !$0.hasPrefix("guest-") }
        #expect(staying.count == stay.count)
        #expect(Set(staying) == stay)
        let kept = entries.filter { !$0.client.clientID.starts(with: Array("guest-".utf8)) }
        #expect(kept.allSatisfy { $0.isStored == ($0.client.clientID.first == 0x73 && isStored) })
      }
    }

    @Test func listsThoseInMemoryOnce() throws {
      let broker = try TestBroker(loops: 3)
      defer { broker.stop() }
      #expect(try broker.list().isEmpty)
      var clients: [Client] = []
      var stay: Set<String> = []
      for number in 0..<2000 {
        let isThere = number % 4 == 0
        let client = try broker.client("s\(number)", clean: false, expiry: 1000)
        if isThere { clients.append(client) } else { try client.disconnect() }
        stay.insert("s\(number)")
      }
      try check(broker, stay: stay, maximum: 97, isStored: false)
      #expect(try broker.list().filter { $0.client.clientID.first == 0x73 }.count == 2000)
      let connected = try broker.list {
        $0.isConnected = true
        $0.prefix = Array("s".utf8)
      }
      #expect(connected.count == clients.count && connected.allSatisfy { $0.isConnected })
      #expect(try names(broker.list { $0.prefix = Array("s1999".utf8) }) == ["s1999"])
      #expect(try broker.list { $0.tenant = Array("nobody".utf8) }.isEmpty)
    }

    @Test func listsThoseOfTheStoreOnce() throws {
      try withStored(loops: 3) { broker in
        var clients: [Client] = []
        var stay: Set<String> = []
        for number in 0..<400 {
          let client = try broker.client("s\(number)", clean: false, expiry: 1000)
          if number % 4 == 0 { clients.append(client) } else { try client.disconnect() }
          stay.insert("s\(number)")
          clients.append(try broker.client("m\(number)"))
          stay.insert("m\(number)")
        }
        try check(broker, stay: stay, maximum: 37, isStored: true)
        let there = try broker.list { $0.isConnected = true }
        #expect(Set(names(there).filter { !$0.hasPrefix("guest-") }).count == 500)
        let away = try broker.list { $0.prefix = Array("s".utf8) }.filter { !$0.isConnected }
        #expect(away.count == 300)
        #expect(away.allSatisfy { $0.client.peer == "" && $0.client.version == 5 })
      }
    }

    @Test func anOddCursorIsRefused() throws {
      let broker = try TestBroker()
      defer { broker.stop() }
      for cursor in [[0], [2, 1, 0, 0, 0, 1], [2, 0, 0], [9, 9], [1, 65]] as [[UInt8]] {
        var query = ClientQuery()
        query.cursor = cursor
        #expect(try broker.page(query).isUnavailable)
      }
    }
  }
}

import Dispatch
import Glibc
import Net
import Packet
import Session
import Testing
import Util

@testable import MQTTServer

extension BrokerTests {
  /// The ledger of memory, held against what the broker has at that moment.
  @Suite struct LedgerTests {
    /// Waits until the ledger is as wanted: it is shown once in 125 ms.
    private func wait(
      _ broker: TestBroker, _ what: String, seconds: Int = 5, until isSo: (MemoryLedger) -> Bool
    ) throws {
      let end = DispatchTime.now() + .seconds(seconds)
      while true {
        let ledger = broker.server.broker.readLedger()
        if isSo(ledger) { return }
        guard DispatchTime.now() < end else { throw TestFailure("no \(what) in \(ledger)") }
        usleep(10_000)
      }
    }

    @Test(arguments: [1, 2])
    func eachRecordIsCounted(loops: Int) throws {
      let broker = try TestBroker(loops: loops)
      defer { broker.stop() }
      let count = 150
      var clients: [Client] = []
      for number in 0..<count {
        // 12 bytes: with its length it takes a block of 16.
        let client = try broker.client(
          "client" + String(repeating: "0", count: 6 - "\(number)".count) + "\(number)")
        try client.subscribe("push/\(number)")
        clients.append(client)
      }
      try wait(broker, "the clients' records") {
        $0.connections == count * MemoryLayout<Connection>.stride
          && $0.sessions == count * MemoryLayout<SessionRecord>.stride
          && $0.subscriptions == count * 28 && $0.clientIDs == count * 16
      }
      let ledger = broker.server.broker.readLedger()
      #expect(ledger.directory > count * 20 && ledger.filters > count * (28 + 8))
      #expect((ledger.interest > 0) == (loops > 1))
      #expect(ledger.writeQueues == 0 && ledger.readRemainders == 0 && ledger.inFlight == 0)
      clients.removeAll()
      try wait(broker, "an empty ledger", seconds: 10) {
        $0.connections == 0 && $0.sessions == 0 && $0.subscriptions == 0 && $0.clientIDs == 0
          // What one busy second needed has gone back too, but for the pages of the tries' roots.
          && $0.free <= loops * 8192
      }
    }

    @Test func whatComesAndGoesIsCounted() throws {
      let broker = try TestBroker()
      defer { broker.stop() }
      var slow: Client? = try Client(port: broker.port, receiveBuffer: 8192)
      try slow?.connect("slow")
      try slow?.subscribe("much", qos: .atMostOnce)
      let keeper = try broker.client("keeper", expiry: 100)
      try keeper.subscribe("kept", qos: .atLeastOnce)
      let talker = try broker.client("talker")

      // Half a packet.
      let packet = talker.publishBytes(
        "much", [UInt8](repeating: 1, count: 50_000), qos: .atMostOnce)
      try talker.send(Array(packet[..<20_000]))
      try wait(broker, "a remainder") { $0.readRemainders >= 20_000 && $0.writeQueues == 0 }
      try talker.send(Array(packet[20_000...]))
      try talker.ping()
      try wait(broker, "no remainder") { $0.readRemainders == 0 }

      // A socket that is full: 10 MB, of which the broker's own bound drops most.
      for _ in 0..<200 { try talker.send(packet) }
      try talker.ping()
      try wait(broker, "output that waits") { $0.writeQueues >= 500_000 }

      // A message that nobody acknowledges, and one that is retained.
      let before = broker.server.broker.readLedger()
      try talker.publish("kept", String(repeating: "x", count: 3_000))
      try wait(broker, "a message in flight") { $0.inFlight - before.inFlight >= 3_000 }
      try talker.send(
        talker.publishBytes(
          "r", [UInt8](repeating: 2, count: 4_000), qos: .atMostOnce, retain: true))
      try talker.ping()
      try wait(broker, "a retained message") { $0.retained - before.retained >= 4_000 }

      slow = nil
      #expect(try keeper.messages(1).count == 1)
      try wait(broker, "no output and nothing in flight", seconds: 10) {
        $0.writeQueues == 0 && $0.inFlight == 0 && $0.free < 65_536
      }
    }

    /// A client that does nothing costs nothing: no timer, no scan, no turn of the loop.
    @Test func aLoopWithQuietClientsSleeps() throws {
      let broker = try TestBroker()
      defer { broker.stop() }
      let clients = try (0..<100).map { try broker.client("idle\($0)") }
      func switches() -> Int {
        var sum = 0
        guard let threads = unsafe opendir("/proc/self/task") else { return -1 }
        defer { unsafe closedir(threads) }
        while let entry = unsafe readdir(threads) {
          let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
            unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
          }
          guard Int(name) != nil, readFile("/proc/self/task/\(name)/comm") == "loop-0\n",
            let status = readFile("/proc/self/task/\(name)/status")
          else { continue }
          for line in status.split(separator: "\n")
          where line.hasPrefix("voluntary_ctxt_switches:") {
            sum += Int(line.split(separator: "\t").last ?? "") ?? 0
          }
        }
        return sum
      }
      // What was needed for connecting goes back within a second or two; then nothing is left to do.
      var last = -1
      var quiet = 0
      for _ in 0..<100 where quiet < 15 {
        let now = switches()
        quiet = now == last ? quiet + 1 : 0
        last = now
        usleep(100_000)
      }
      #expect(last > 0 && quiet == 15, "the loop went on to wake up")
      for client in clients { try client.ping() }
    }
  }
}

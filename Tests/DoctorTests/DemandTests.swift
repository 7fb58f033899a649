import Testing
import Util

@testable import Doctor

@Suite("What is needed")
struct DemandTests {
  @Test("numbers out of their ranges are brought to the nearest end")
  func ranges() {
    let least = Demand(connections: -5, loops: 0, listeners: 0)
    #expect(least == Demand(connections: 1, loops: 1, listeners: 1))
    let most = Demand(connections: .max, loops: .max, listeners: .max)
    #expect(most.connections == 100_000_000 && most.loops == 64 && most.listeners == 64)
  }

  @Test("descriptors of one table: the clients', and what the broker reserves")
  func oneTable() {
    #expect(Demand(connections: 1000, loops: 1).filesOfOneTable == 1000 + 16 + 5)
    #expect(Demand(connections: 1000, loops: 4, listeners: 2).filesOfOneTable == 1000 + 16 + 24)
  }

  @Test(
    "clients of the fullest loop",
    arguments: [
      (10, 1, 10), (10, 2, 10), (1_000_000, 1, 1_000_000), (1_000_000, 2, 504_243),
      (1_000_000, 64, 16_375), (1, 64, 1),
    ])
  func share(connections: Int, loops: Int, expected: UInt64) {
    #expect(
      Demand(connections: connections, loops: loops).share(loops: UInt64(loops)) == expected)
  }

  @Test("loops that make own tables fit")
  func loops() {
    let demand = Demand.million
    #expect(demand.loops(forLimit: 1_000_000) == 3)
    #expect(demand.loops(forLimit: 524_288) == 3)
    #expect(demand.loops(forLimit: 20_000) == 53)
    #expect(demand.loops(forLimit: 16_000) == nil)
    #expect(Demand(connections: 9, loops: 64).loops(forLimit: .max) == nil)
    for limit: UInt64 in [20_000, 65_536, 262_144] {
      let loops = demand.loops(forLimit: limit) ?? 0
      #expect(demand.filesOfOwnTable(loops: loops) <= limit)
      #expect(demand.filesOfOwnTable(loops: loops - 1) > limit)
    }
  }

  @Test(
    "clients that wait at a loop's socket",
    arguments: [
      (1, 1, 1), (10, 1, 10), (128, 1, 128), (1000, 1, 128), (1280, 1, 128), (1281, 1, 129),
      (100_000, 1, 10_000), (100_000, 2, 5000), (655_350, 1, 65_535), (655_360, 1, 65_535),
      (100_000_000, 64, 65_535),
    ])
  func queue(connections: Int, loops: Int, expected: UInt64) {
    #expect(Demand(connections: connections, loops: loops).queue == expected)
  }

  @Test("three quarters of the queue of handshakes are as long as the other queue")
  func synQueue() {
    for connections in [1, 2, 3, 1000, 1_000_000] {
      let demand = Demand(connections: connections, loops: 1)
      #expect(demand.synQueue * 3 / 4 >= demand.queue - 1)
      #expect(demand.synQueue <= demand.queue * 4 / 3 + 1)
    }
    #expect(Demand(connections: 100_000_000, loops: 1).synQueue == 87_380)
  }

  @Test("memory of a million, and of a million whose clients are here")
  func memory() {
    let away = MemoryEstimate(.million, pageBytes: 4096)
    #expect(away.userBytes == 281_000_000)
    #expect(away.kernelBytes == 4_400_000_000)
    #expect(away.totalBytes == 4_681_000_000)
    #expect(away.burstBytes == 4_096_000_000)
    let demand = Demand(connections: 1_000_000, loops: 2, clientsAreHere: true)
    let here = MemoryEstimate(demand, pageBytes: 65_536)
    #expect(here.userBytes == away.userBytes)
    #expect(here.kernelBytes == 8_800_000_000)
    #expect(here.burstBytes == 65_536_000_000)
  }

  @Test("clients that a memory is enough for")
  func connections() {
    func count(_ bytes: UInt64, _ here: Bool = false) -> UInt64 {
      MemoryEstimate.connections(in: bytes, clientsAreHere: here)
    }
    #expect(count(0) == 0)
    #expect(count(25_000_000) == 0)
    #expect(count(25_000_000 + 4656) == 1)
    #expect(count(4_681_000_000) == 1_000_000)
    #expect(count(4_681_000_000, true) == 510_000)
    #expect(count(1 << 62) > 100_000_000)
  }

  @Test(
    "numbers for people",
    arguments: [
      (0, "0"), (999, "999"), (1000, "1,000"), (20_000, "20,000"), (1_048_576, "1,048,576"),
    ] as [(UInt64, String)])
  func grouped(value: UInt64, text: String) {
    #expect(Amount.grouped(value) == text)
  }

  @Test("rounding up to two digits")
  func rounded() {
    let pairs: [(UInt64, UInt64)] = [
      (0, 0), (7, 7), (99, 99), (100, 100), (101, 110), (1_002_065, 1_100_000),
      (1_000_000, 1_000_000), (99_900, 100_000),
    ]
    for (value, expected) in pairs { #expect(Amount.rounded(value) == expected) }
  }

  @Test("bytes for people")
  func bytes() {
    #expect(Amount.bytes(0) == "0 KiB")
    #expect(Amount.bytes(1) == "1 KiB")
    #expect(Amount.bytes(1 << 20) == "1 MiB")
    #expect(Amount.bytes(24_683_656 << 10) == "24,105 MiB")
  }
}

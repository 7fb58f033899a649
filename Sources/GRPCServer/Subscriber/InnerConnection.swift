import NIOCore
import NIOPosix
import Packet
import Session

/// A connection to the broker within the process, which speaks MQTT 5. One task reads it; any may write.
struct InnerConnection {
  private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
  private var packets = InnerPackets()
  /// Messages that came before the answer that was waited for.
  private var early: [InnerPacket] = []
  let writer: InnerWriter

  /// Opens a connection, has it accepted, and closes it when `body` is done.
  /// - Throws: `Refusal`; what `body` throws.
  static func with<Value: Sendable>(
    _ gateway: any Gateway, _ connect: ConnectPacket,
    _ body: (inout InnerConnection) async throws -> Value
  ) async throws -> Value {
    guard let descriptor = gateway.openConnection() else {
      throw Refusal(
        .resourceExhausted, "NO_DESCRIPTORS",
        "the broker has no descriptors left for another stream")
    }
    let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .withConnectedSocket(descriptor) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    return try await channel.executeThenClose { inbound, outbound in
      var connection = InnerConnection(
        inbound: inbound.makeAsyncIterator(), writer: InnerWriter(outbound: outbound))
      try await connection.writer.send(connect.encodedCount) { connect.encode(into: &$0) }
      let reason: ReasonCode = try await connection.wait { packet in
        if case .connAck(let reason) = packet { reason } else { nil }
      }
      guard reason == .success else { throw lost(reason) }
      let value = try await body(&connection)
      let goodbye = DisconnectPacket()
      try await connection.writer.send(goodbye.encodedCount(.v5)) { goodbye.encode(.v5, into: &$0) }
      return value
    }
  }

  private init(
    inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator, writer: InnerWriter
  ) {
    self.inbound = inbound
    self.writer = writer
  }

  /// Subscribes to filters, in one packet for each 100: of filters as long as may be, that is less than the
  /// smallest limit on packets that is of use.
  mutating func subscribe(_ filters: [SubscribePacket.Filter]) async throws {
    for start in stride(from: 0, to: filters.count, by: Self.filtersPerPacket) {
      let some = Array(filters[start..<min(filters.count, start + Self.filtersPerPacket)])
      let packet = SubscribePacket(packetID: 1, filters: some)
      try await writer.send(packet.encodedCount(.v5)) { packet.encode(.v5, into: &$0) }
      let codes: [UInt8] = try await wait { packet in
        if case .subAck(let codes) = packet { codes } else { nil }
      }
      for (filter, code) in zip(some, codes) where ReasonCode(rawValue: code).isError {
        throw Refusal.filter(filter.filter, code)
      }
    }
  }

  private static let filtersPerPacket = 100

  /// The next messages: those that came with one read.
  mutating func messages() async throws -> [InnerPacket] {
    if !early.isEmpty {
      defer { early = [] }
      return early
    }
    return try await read()
  }

  private mutating func wait<Value>(_ isIt: (InnerPacket) -> Value?) async throws -> Value {
    while true {
      var found: Value?
      for packet in try await read() {
        if let value = isIt(packet) { found = value } else { early.append(packet) }
      }
      if let found { return found }
    }
  }

  private mutating func read() async throws -> [InnerPacket] {
    while true {
      guard let buffer = try await inbound.next() else {
        try Task.checkCancellation()
        throw Self.lost(nil)
      }
      let found = try packets.take(buffer.readableBytesView)
      for case .disconnect(let reason) in found { throw Self.lost(reason) }
      if !found.isEmpty { return found }
    }
  }

  private static func lost(_ reason: ReasonCode?) -> Refusal {
    if reason == .serverShuttingDown { return .shuttingDown }
    let text = reason.map { " with the reason code \($0.rawValue)" } ?? ""
    return Refusal(.unavailable, "SUBSCRIPTION_LOST", "the broker ended the subscription\(text)")
  }
}

/// Writes to a connection within the process.
struct InnerWriter: Sendable {
  fileprivate let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>

  /// Sends a packet of `count` bytes that `fill` writes.
  func send(_ count: Int, _ fill: (inout OutputSpan<UInt8>) -> Void) async throws {
    let packet = [UInt8](capacity: count) { fill(&$0) }
    try await outbound.write(ByteBuffer(bytes: packet))
  }

  /// Acknowledges messages.
  func acknowledge(_ packetIDs: [UInt16]) async throws {
    try await send(4 * packetIDs.count) { out in
      for id in packetIDs { encodeAck(type: .pubAck, packetID: id, version: .v5, into: &out) }
    }
  }
}

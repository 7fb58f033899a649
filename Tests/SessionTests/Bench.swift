import Packet
import Testing

@testable import Session

/// A table with one session, and what its worker would do for it: no socket and no clock.
final class Bench {
  let table: SessionTable
  let slot: UInt32
  var expired: UInt64 = 0
  var second: UInt32 = 100

  init(
    quota: UInt16 = 10, isPersistent: Bool = true, limits: SessionLimits = SessionLimits()
  ) {
    table = SessionTable(capacity: 100, limits: limits)
    slot = table.create(entry: 7, version: .v5) ?? 0
    table.records[slot].sendQuota = quota
    if isPersistent { table.records[slot].flags.insert(.isPersistent) }
  }

  /// A delivery with a reference of its own, as the worker makes it.
  func delivery(_ sample: Sample, isShared: Bool = false, identifiers: UInt32 = 0) -> Delivery {
    let message = sample.withView { table.messages.keep($0) } ?? 0
    return Delivery(
      message: message, identifiers: identifiers, qos: sample.qos, retain: sample.retain,
      isShared: isShared)
  }

  /// Sends at once; nil where the table says that it may not be.
  func send(_ sample: Sample, isShared: Bool = false) -> UInt16? {
    guard table.maySendNow(slot) else { return nil }
    return table.sendNow(
      slot, delivery(sample, isShared: isShared), bytes: sample.byteCount)
  }

  /// Lets a message wait, whether or not it could be sent.
  @discardableResult
  func enqueue(_ sample: Sample, isShared: Bool = false, identifiers: UInt32 = 0) -> Bool {
    let made = delivery(sample, isShared: isShared, identifiers: identifiers)
    if table.enqueue(slot, made, bytes: sample.byteCount) { return true }
    table.messages.release(made.message)
    table.freeIdentifiers(made.identifiers)
    return false
  }

  /// What goes out next, in short.
  struct Sent: Equatable {
    var id: UInt16
    /// Nil for a PUBREL.
    var payload: [UInt8]?
    var dup = false

    static func publish(_ id: UInt16, _ sample: Sample, dup: Bool = false) -> Sent {
      Sent(id: id, payload: sample.payload, dup: dup)
    }
    static func release(_ id: UInt16) -> Sent { Sent(id: id, payload: nil, dup: true) }
  }

  func pumpOne() -> Sent? {
    guard let next = table.nextTransmission(slot, second: second, expired: &expired) else {
      return nil
    }
    if next.isRelease { return Sent(id: next.packetID, payload: nil, dup: next.isRetry) }
    let sample = table.messages.withView(next.delivery.message) { Sample($0) }
    #expect(next.delivery.wasSent)
    if next.isHandedOver {
      table.messages.release(next.delivery.message)
      table.freeIdentifiers(next.delivery.identifiers)
    }
    return Sent(id: next.packetID, payload: sample.payload, dup: next.isRetry)
  }

  func pump() -> [Sent] {
    var sent: [Sent] = []
    while let one = pumpOne() { sent.append(one) }
    return sent
  }

  func ack(
    _ id: UInt16, _ type: PacketType = .pubAck, isError: Bool = false
  ) -> AcknowledgementOutcome {
    table.acknowledge(slot, id, type, isError: isError)
  }

  func reconnect(quota: UInt16? = nil) {
    table.connectionEnded(slot)
    if let quota { table.records[slot].sendQuota = quota }
  }

  /// Whether nothing of a message is held any more.
  var isEmpty: Bool {
    table.messages.count == 0 && table.blocks.count == 0 && table.rings.count == 0
  }
}

import Packet
import PubSub
import Session
import Store
import Util

/// What loops tell each other.
enum Letter: Sendable {
  /// Publishes, gathered over one turn of the sender.
  case publishes(PublishBatch)
  /// A connection whose session is on the receiver's loop.
  case adopt(Adoption)
  /// A session becomes a member of a shared subscription whose home is here, or changes.
  case shareJoin(ShareJoin)
  /// The home loop has taken a member.
  case shareJoined(session: UInt32, generation: UInt32)
  /// A session leaves a shared subscription whose home is here.
  case shareLeave(name: [UInt8], filter: [UInt8], loop: UInt8, session: UInt32)
  /// A message for a shared subscription that its member can't have any more.
  case redistribute(SharedMessage)
  /// A message of the log that a member could not take.
  case shareReturned(ShareReturn)
  /// Members on another loop are done with messages of groups whose home is here.
  case shareCredits([ShareCredit], loop: UInt8)
  /// What the store has done.
  case store([StoreEvent])
  /// The store can't be written, from now on and for a while.
  case storeFails
  /// Something that was asked for from outside of MQTT.
  case perform(@Sendable (Worker) -> Void)
  /// Say goodbye to all clients and end.
  case stop(deadline: UInt32)
}

/// A connection on its way to the loop of its session.
struct Adoption: Sendable {
  /// Under which number the socket travels.
  var token: UInt64
  /// What was received and not handled: from the CONNECT on.
  var bytes: [UInt8]
  /// How often it was handed over.
  var hops: UInt8
  /// Whether it is of a server of this process.
  var isTrusted = false
  /// Who its client is, where a hook said so.
  var identity: Identity?
}

/// A member of a shared subscription, for the group's home.
struct ShareJoin: Sendable {
  var name: [UInt8]
  var filter: [UInt8]
  var member: ShareMember
  /// Whether the member's SUBACK waits for the answer.
  var wantsAnswer: Bool
}

/// A copy of a message, with the shared subscription that it is for.
struct SharedMessage: Sendable {
  enum Group: Sendable {
    case named([UInt8], filter: [UInt8])
    /// Its slot at its home, where the serial number tells it from a later one in the same slot.
    case placed(UInt32, serial: UInt32)
  }

  var group: Group
  var facts: MessageFacts
  var topic: [UInt8]
  var properties: [UInt8]
  var payload: [UInt8]
}

/// In front of each publish of a batch: what it is, and how long its parts are. 32 bytes.
private struct EnvelopeHeader: BitwiseCopyable {
  var facts: MessageFacts
  /// The topic's hash, which the sender has computed already.
  var topicHash: UInt32
  var propertiesCount: UInt32
  var payloadCount: UInt32
  /// Bytes of the header in which the message came, topic and properties included; 0 where those
  /// two alone are there.
  var wireCount: UInt32
  var topicCount: UInt16
  /// Where the topic starts.
  var topicOffset: UInt8
  var flags: Flags

  struct Flags: OptionSet, BitwiseCopyable {
    let rawValue: UInt8
    /// A `MemberPart` follows.
    static let isForMember = Flags(rawValue: 1)
    /// The header is of MQTT 5.
    static let wireHasProperties = Flags(rawValue: 2)
    /// A `ReceiptReference` follows, behind the `MemberPart`.
    static let hasReceipt = Flags(rawValue: 4)
  }
}

/// Whom of the receiver's sessions a publish of a batch is for, where it is a member of a shared
/// subscription. 48 bytes.
struct MemberPart: BitwiseCopyable {
  /// Its session and its part in the group.
  var session: UInt32
  var generation: UInt32
  var identifier: UInt32
  /// The group at its home, which gets back what its member can't have.
  var group: UInt32
  var serial: UInt32
  /// The session's, when it was chosen.
  var epoch: UInt32
  /// The message's sequence number, where it is in the log for the group; else 0.
  var sequence: UInt64
  /// The group's number in the store.
  var id: StoredGroupID
  var home: UInt8
  var options: UInt8
}

/// The receipt of a publish of a batch, which owns one count of it. 16 bytes.
@unsafe private struct ReceiptReference: BitwiseCopyable {
  var receipt: Unmanaged<PublishReceipt>
  var place: UInt
}

/// What a receiver is told of a publish besides the message.
struct PublishEnvelope {
  var topicHash: UInt32
  /// Nil for a publish to whoever subscribes.
  var member: MemberPart?
}

/// Publishes from one loop to another, one behind the other in one buffer.
///
/// It is written by the sender, posted, and read by the receiver: never by both at a time.
@safe
final class PublishBatch: @unchecked Sendable {
  private var buffer: UnsafeMutableRawPointer
  private var capacity: Int
  private(set) var count = 0
  /// Bytes that the receiver's pressure knows of.
  var announced = 0
  /// Where the bytes of all batches of a broker are counted.
  private let account: MemoryAccount

  init(_ account: MemoryAccount) {
    self.account = account
    capacity = PublishBatch.firstBytes
    unsafe buffer = .allocate(byteCount: capacity, alignment: 8)
    account.add(capacity)
  }

  deinit {
    account.add(-capacity)
    unsafe buffer.deallocate()
  }

  private func reserve(_ more: Int) {
    guard count + more > capacity else { return }
    let larger = max(capacity * 2, count + more)
    let new = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 8)
    unsafe new.copyMemory(from: buffer, byteCount: count)
    unsafe buffer.deallocate()
    unsafe buffer = new
    account.add(larger - capacity)
    capacity = larger
  }

  /// Empties the batch for its next use; a large buffer is given back.
  func clear() {
    count = 0
    announced = 0
    guard capacity > Limits.keptBatchBytes else { return }
    unsafe buffer.deallocate()
    account.add(PublishBatch.firstBytes - capacity)
    capacity = PublishBatch.firstBytes
    unsafe buffer = .allocate(byteCount: capacity, alignment: 8)
  }

  private static var firstBytes: Int { 16_384 }

  private static var headerBytes: Int { MemoryLayout<EnvelopeHeader>.stride }
  private static var memberBytes: Int { MemoryLayout<MemberPart>.stride }
  private static var receiptBytes: Int { unsafe MemoryLayout<ReceiptReference>.stride }

  /// Adds a publish.
  /// - Parameter part: its receipt, which the receiver leaves when it has delivered it.
  func append(
    _ envelope: PublishEnvelope, _ message: borrowing MessageView, _ part: ReceiptPart?
  ) {
    var head = PublishBatch.headerBytes + (envelope.member == nil ? 0 : PublishBatch.memberBytes)
    if part != nil { head += PublishBatch.receiptBytes }
    let wireCount = message.wire.count
    let total = wireCount == 0 ? message.byteCount : wireCount + message.payload.count
    // Envelopes stay aligned.
    let body = (total + 7) & ~7
    reserve(head + body)
    var flags: EnvelopeHeader.Flags = envelope.member == nil ? [] : .isForMember
    if message.wireHasProperties { flags.insert(.wireHasProperties) }
    if part != nil { flags.insert(.hasReceipt) }
    unsafe (buffer + count).storeBytes(
      of: EnvelopeHeader(
        facts: message.facts, topicHash: envelope.topicHash,
        propertiesCount: UInt32(message.properties.count),
        payloadCount: UInt32(message.payload.count), wireCount: UInt32(wireCount),
        topicCount: UInt16(message.topic.count), topicOffset: UInt8(message.wireTopicOffset),
        flags: flags), as: EnvelopeHeader.self)
    if let member = envelope.member {
      unsafe (buffer + count + PublishBatch.headerBytes).storeBytes(
        of: member, as: MemberPart.self)
    }
    if let part {
      // The count that it holds goes with the bytes, which are read once.
      unsafe (buffer + count + head - PublishBatch.receiptBytes).storeBytes(
        of: ReceiptReference(
          receipt: Unmanaged.passRetained(part.receipt), place: UInt(part.place)),
        as: ReceiptReference.self)
    }
    // Room for all of it was reserved.
    var next = unsafe buffer + count + head
    if wireCount == 0 {
      unsafe next = message.topic.copy(to: next)
      unsafe next = message.properties.copy(to: next)
    } else {
      unsafe next = message.wire.copy(to: next)
    }
    _ = unsafe message.payload.copy(to: next)
    count += head + body
  }

  /// Calls `body` with all bytes, which stay as they are meanwhile.
  func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) {
    unsafe body(UnsafeRawBufferPointer(start: buffer, count: count))
  }

  /// Calls `body` with each publish: once, as what it names by reference is given up with it.
  func forEach(_ body: (PublishEnvelope, borrowing MessageView, ReceiptPart?) -> Void) {
    var offset = 0
    while offset < count {
      let header = unsafe (buffer + offset).load(as: EnvelopeHeader.self)
      offset += PublishBatch.headerBytes
      var envelope = PublishEnvelope(topicHash: header.topicHash)
      if header.flags.contains(.isForMember) {
        envelope.member = unsafe (buffer + offset).load(as: MemberPart.self)
        offset += PublishBatch.memberBytes
      }
      var part: ReceiptPart?
      if header.flags.contains(.hasReceipt) {
        let reference = unsafe (buffer + offset).load(as: ReceiptReference.self)
        offset += PublishBatch.receiptBytes
        part = unsafe ReceiptPart(
          receipt: reference.receipt.takeRetainedValue(), place: Int(reference.place))
      }
      let isWhole = header.wireCount != 0
      let topicEnd = Int(header.topicOffset) + Int(header.topicCount)
      let headEnd = isWhole ? Int(header.wireCount) : topicEnd + Int(header.propertiesCount)
      let total = headEnd + Int(header.payloadCount)
      // The buffer is not changed while it is read, and the view ends with the call.
      let bytes = unsafe UnsafeRawBufferPointer(start: buffer + offset, count: total)
        .bindMemory(to: UInt8.self).span
      body(
        envelope,
        MessageView(
          facts: header.facts, topic: bytes.extracting(Int(header.topicOffset)..<topicEnd),
          properties: bytes.extracting(headEnd - Int(header.propertiesCount)..<headEnd),
          payload: bytes.extracting(droppingFirst: headEnd),
          wire: bytes.extracting(first: isWhole ? headEnd : 0),
          hasProperties: header.flags.contains(.wireHasProperties)), part)
      offset += (total + 7) & ~7
    }
  }
}

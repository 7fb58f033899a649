import Packet
import PubSub
import Session
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

/// In front of each publish of a batch: what it is, and how long its parts are.
struct PublishEnvelope: BitwiseCopyable {
  var facts: MessageFacts
  var topicCount: UInt32
  var propertiesCount: UInt32
  var payloadCount: UInt32
  /// For a member of a shared subscription: its session and its part. 0 for a publish to whoever
  /// subscribes here.
  var session: UInt32 = 0
  var generation: UInt32 = 0
  var identifier: UInt32 = 0
  /// The group at its home, which gets back what its member can't have.
  var group: UInt32 = 0
  var serial: UInt32 = 0
  var home: UInt8 = 0
  var options: UInt8 = 0
}

/// Publishes from one loop to another, one behind the other in one buffer.
///
/// It is written by the sender, posted, and read by the receiver: never by both at a time.
@safe
final class PublishBatch: @unchecked Sendable {
  private var buffer: UnsafeMutableRawPointer
  private var capacity: Int
  private(set) var count = 0
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
    guard capacity > PublishBatch.keptBytes else { return }
    unsafe buffer.deallocate()
    account.add(PublishBatch.firstBytes - capacity)
    capacity = PublishBatch.firstBytes
    unsafe buffer = .allocate(byteCount: capacity, alignment: 8)
  }

  private static var firstBytes: Int { 16_384 }
  private static var keptBytes: Int { 262_144 }

  private static var envelopeBytes: Int { MemoryLayout<PublishEnvelope>.stride }

  /// Adds a publish.
  func append(_ envelope: PublishEnvelope, _ message: borrowing MessageView) {
    // Envelopes stay aligned.
    let body = (message.byteCount + 7) & ~7
    reserve(PublishBatch.envelopeBytes + body)
    unsafe (buffer + count).storeBytes(of: envelope, as: PublishEnvelope.self)
    var next = count + PublishBatch.envelopeBytes
    next = copy(message.topic, to: next)
    next = copy(message.properties, to: next)
    _ = copy(message.payload, to: next)
    count += PublishBatch.envelopeBytes + body
  }

  // The caller reserved room behind `offset`.
  private func copy(_ bytes: Span<UInt8>, to offset: Int) -> Int {
    unsafe bytes.withUnsafeBytes {
      if let start = $0.baseAddress {
        unsafe (buffer + offset).copyMemory(from: start, byteCount: $0.count)
      }
    }
    return offset + bytes.count
  }

  /// Calls `body` with each publish.
  func forEach(_ body: (PublishEnvelope, borrowing MessageView) -> Void) {
    var offset = 0
    while offset < count {
      let envelope = unsafe (buffer + offset).load(as: PublishEnvelope.self)
      let start = unsafe buffer + offset + PublishBatch.envelopeBytes
      let total =
        Int(envelope.topicCount) + Int(envelope.propertiesCount) + Int(envelope.payloadCount)
      // The buffer is not changed while it is read, and the view ends with the call.
      let bytes = unsafe UnsafeRawBufferPointer(start: start, count: total)
        .bindMemory(to: UInt8.self).span
      let topicEnd = Int(envelope.topicCount)
      let propertiesEnd = topicEnd + Int(envelope.propertiesCount)
      body(
        envelope,
        MessageView(
          facts: envelope.facts, topic: bytes.extracting(0..<topicEnd),
          properties: bytes.extracting(topicEnd..<propertiesEnd),
          payload: bytes.extracting(droppingFirst: propertiesEnd)))
      offset += PublishBatch.envelopeBytes + ((total + 7) & ~7)
    }
  }
}

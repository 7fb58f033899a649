import Packet
import Session
import Store
import Util

/// What waits until the store has done what a loop handed in.
enum Awaited {
  /// An acknowledgement for a client.
  case acknowledgement(Reply, PacketType, packetID: UInt16, ReasonCode)
  /// An UNSUBACK.
  case unsubscribed(Reply, packetID: UInt16, reasons: [UInt8])
  /// A SUBSCRIBE, to be done now that it is stored.
  case subscribed(Reply, StoredSubscribe)
  /// A client that has said goodbye.
  case left(Reply)
  /// A client that connects, whose session is stored.
  case connected(session: UInt32, generation: UInt32)
  /// A message of a shared subscription for a session that is not stored.
  case lent(LentMessage)
  /// Something that was asked for from outside of MQTT.
  case errand(@Sendable (Worker) -> Void)
  /// What a session has in flight up to a place of its window.
  case window(session: UInt32, generation: UInt32, end: UInt32)

  /// The connection that is answered, where there is one.
  var reply: Reply? {
    switch self {
    case .acknowledgement(let reply, _, _, _), .unsubscribed(let reply, _, _),
      .subscribed(let reply, _):
      reply
    case .connected, .window, .left, .lent, .errand: nil
    }
  }
}

/// A connection that is to be answered, and whose it is.
struct Reply: BitwiseCopyable, Equatable {
  var slot: UInt32
  var generation: UInt32
}

/// One loop's end of the store: what it hands in at the end of the turn, and what waits for it.
///
/// It belongs to the loop's thread.
final class StoreClient {
  let store: any Store
  private let loop: Int
  private var batch: StoreBatch?
  private var nextTicket: UInt64 = 1
  /// Of the last batch: the next is as large, mostly.
  private var lastBytes = 0
  private var lastOrders = 0

  /// What waits, oldest first, from `head` on.
  private var awaited: [(ticket: UInt64, publish: UInt64, what: Awaited)] = []
  private var head = 0
  /// The number of the last publish, and whether its acknowledgement is yet to come.
  private var lastPublish: UInt64 = 0
  private var isUnanswered = false
  /// Publishes whose receipt is to be told what becomes of them, by their numbers.
  private var counted: [UInt64: ReceiptPart] = [:]
  /// The same of those for one client.
  private var direct: [UInt64: DirectPart] = [:]
  /// Who waits for the keys of earlier requests, by tag.
  private var keyReaders: [UInt64: @Sendable ([(key: [UInt8], until: UInt32)]) -> Void] = [:]
  private var lastTag: UInt64 = 0
  /// How much waits for each connection, by slot: answers keep their order. What has changed for one
  /// connection, which is the same many times in a row, is in `run` until it is another's turn.
  private var waiting: [UInt32: Int] = [:]
  private var run: (slot: UInt32, change: Int) = (0, 0)

  init(_ store: any Store, loop: Int) {
    self.store = store
    self.loop = loop
  }

  // MARK: Orders

  private var current: StoreBatch {
    if let batch { return batch }
    let made = StoreBatch(
      loop: loop, ticket: nextTicket, bytes: min(max(lastBytes, 1024), 1 << 20),
      orders: min(lastOrders, 16_384))
    nextTicket += 1
    batch = made
    return made
  }

  /// Adds an order to what is handed in at the end of the turn.
  /// - Parameter bytes: that it takes beside itself, about.
  func add(_ order: StoreOrder, bytes: Int = 0) {
    let batch = current
    batch.orders.append(order)
    batch.orderBytes += bytes
  }

  /// Adds a message to be appended or retained.
  /// - Parameter appends: whether it goes to the log.
  /// - Parameter isAnswered: whether the next that waits is its acknowledgement, which says so if the
  ///   message is refused.
  /// - Parameter tellsAbsent: whether clients are to be named that it is kept for and that are away.
  /// - Parameter receipt: what is told what becomes of it.
  func publish(
    _ facts: LoggedFacts, topic: Span<UInt8>, properties: Span<UInt8>, payload: Span<UInt8>,
    appends: Bool, isAnswered: Bool, tellsAbsent: Bool = false, receipt: ReceiptPart? = nil
  ) {
    let batch = current
    let offset = batch.messages.append(
      facts, topic: topic, properties: properties, payload: payload)
    if facts.retain { batch.retains = true }
    if isAnswered {
      lastPublish += 1
      isUnanswered = true
    }
    let pending = isAnswered ? lastPublish : receipt.map(number) ?? 0
    guard tellsAbsent || receipt != nil else {
      batch.orders.append(.publish(offset: offset, appends: appends, pending: pending))
      return
    }
    batch.orders.append(
      .publishCounted(
        offset: offset, appends: appends, pending: pending, tellsAbsent: tellsAbsent))
  }

  /// Adds a message for the session of one client.
  func publish(
    _ facts: LoggedFacts, topic: Span<UInt8>, properties: Span<UInt8>, payload: Span<UInt8>,
    to client: [UInt8], tellsAbsent: Bool, receipt: DirectPart
  ) {
    let batch = current
    let offset = batch.messages.append(
      facts, topic: topic, properties: properties, payload: payload)
    batch.orderBytes += client.count
    lastPublish += 1
    direct[lastPublish] = receipt
    batch.orders.append(
      .publishTo(client: client, offset: offset, pending: lastPublish, tellsAbsent: tellsAbsent))
  }

  private func number(_ part: ReceiptPart) -> UInt64 {
    lastPublish += 1
    counted[lastPublish] = part
    return lastPublish
  }

  /// Asks for the keys of requests that are remembered.
  func readKeys(_ done: @escaping @Sendable ([(key: [UInt8], until: UInt32)]) -> Void) {
    lastTag += 1
    keyReaders[lastTag] = done
    add(.readKeys(tag: lastTag))
  }

  /// The store has answered for the keys.
  func take(_ keys: [(key: [UInt8], until: UInt32)], tag: UInt64) {
    keyReaders.removeValue(forKey: tag)?(keys)
  }

  /// Hands in what was gathered.
  func submit() {
    guard let batch else { return }
    self.batch = nil
    lastBytes = batch.messages.byteCount
    lastOrders = batch.orders.count
    store.submit(batch)
  }

  // MARK: What waits

  /// Lets something wait until all that was added up to now is done.
  func wait(_ what: Awaited) {
    // What it waits for may be added later in the turn, such as what a session has in flight.
    let ticket = current.ticket
    if let reply = what.reply { count(reply.slot, 1) }
    var publish: UInt64 = 0
    if isUnanswered, case .acknowledgement(_, .pubAck, _, _) = what { publish = lastPublish }
    if isUnanswered, case .acknowledgement(_, .pubRec, _, _) = what { publish = lastPublish }
    if publish != 0 { isUnanswered = false }
    awaited.append((ticket, publish, what))
  }

  /// Whether an answer to a connection waits, so that later ones have to as well.
  func isWaiting(_ slot: UInt32) -> Bool {
    guard head < awaited.count else { return false }
    if run.slot == slot { return run.change + (waiting[slot] ?? 0) > 0 }
    return waiting[slot] != nil
  }

  private func count(_ slot: UInt32, _ change: Int) {
    if run.slot != slot {
      if run.change != 0 {
        let count = (waiting[run.slot] ?? 0) + run.change
        waiting[run.slot] = count > 0 ? count : nil
      }
      run = (slot, 0)
    }
    run.change += change
  }

  /// How many answers to a connection wait.
  func waits(_ slot: UInt32) -> Int {
    (waiting[slot] ?? 0) + (run.slot == slot ? run.change : 0)
  }

  /// The store keeps a message for some subscriptions. Gives it where it is for one client.
  func keep(_ publish: UInt64, subscriptions: Int) -> DirectPart? {
    if let part = counted.removeValue(forKey: publish) {
      part.receipt.keep(part.place, subscriptions: subscriptions)
      return nil
    }
    let found = direct.removeValue(forKey: publish)
    if let part = found?.part { part.receipt.keep(part.place, subscriptions: subscriptions) }
    return found
  }

  /// The client that a message was for has no session: gives the message.
  func findNoSession(_ publish: UInt64) -> DirectPart? { direct.removeValue(forKey: publish) }

  /// A message was refused: its receipt or its acknowledgement, if it has one, says so.
  func refuse(_ publish: UInt64) {
    guard publish != 0 else { return }
    if let part = counted.removeValue(forKey: publish) ?? direct.removeValue(forKey: publish)?.part
    {
      return part.receipt.refuse(part.place, .quotaExceeded)
    }
    for place in head..<max(head, awaited.count) where awaited[place].publish == publish {
      guard case .acknowledgement(let reply, let type, let packetID, _) = awaited[place].what else {
        return
      }
      awaited[place].what = .acknowledgement(reply, type, packetID: packetID, .quotaExceeded)
      return
    }
  }

  /// Takes the oldest that waits for nothing after a ticket; nil where there is none.
  func next(through ticket: UInt64) -> Awaited? {
    guard head < awaited.count, awaited[head].ticket <= ticket else { return nil }
    let what = awaited[head].what
    head += 1
    if let reply = what.reply { count(reply.slot, -1) }
    if head == awaited.count {
      awaited.removeAll(keepingCapacity: head <= 4096)
      head = 0
    } else if head >= 4096 && head * 2 >= awaited.count {
      awaited.removeFirst(head)
      head = 0
    }
    return what
  }
}

import Foundation
import Store
import Synchronization
import Testing
import Util

@testable import StoreSQLite

/// Hash seed of tests; which filters share a bucket is then the same in each run.
let testSeed = HashSeed(0x1234_5678_9ABC_DEF1, 0xFEDC_BA98_7654_3211)

/// A directory of its own, removed with the value.
final class TemporaryDirectory: Sendable {
  let path: String

  init() throws {
    let url = FileManager.default.temporaryDirectory
      .appendingPathComponent("bifrost-store-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The file of the store.
  var file: String { StoreFile.path(path) }
}

/// A listener that writes down what it is told.
final class Recorder: StoreListener {
  struct State {
    var events: [Int: [StoreEvent]] = [:]
    /// Loops in the order in which they were told something.
    var order: [Int] = []
    /// How often each filter was gained more than lost.
    var readers: [String: Int] = [:]
    /// Filters that were lost without having been gained.
    var lostInVain: [String] = []
    var knowsReaders = false
    var states: [StoreState] = []
    var damages: [String] = []
  }

  let state = Mutex(State())

  func deliver(_ events: [StoreEvent], to loop: Int) {
    state.withLock { state in
      state.events[loop, default: []] += events
      state.order.append(loop)
    }
  }

  /// Loops 0 to 3, by the length of the topic.
  func loops(for topic: Span<UInt8>) -> UInt64 { Recorder.loops(topic.count) }

  static func loops(_ topicCount: Int) -> UInt64 { 1 << UInt64(topicCount % 4) }

  func gainedReaders(_ filter: Span<UInt8>) {
    let text = filter.description
    state.withLock { $0.readers[text, default: 0] += 1 }
  }

  func lostReaders(_ filter: Span<UInt8>) {
    let text = filter.description
    state.withLock { state in
      let count = state.readers[text] ?? 0
      if count == 0 { state.lostInVain.append(text) }
      state.readers[text] = count > 1 ? count - 1 : nil
    }
  }

  func knowsReaders() { state.withLock { $0.knowsReaders = true } }

  func storeChanged(_ change: StoreState) { state.withLock { $0.states.append(change) } }

  func storeDamaged(_ what: String) { state.withLock { $0.damages.append(what) } }

  /// All that a loop was told so far.
  func events(of loop: Int) -> [StoreEvent] { state.withLock { $0.events[loop] ?? [] } }
}

extension String {
  var bytes: [UInt8] { Array(utf8) }
}

/// A message as a test has it.
struct Sample: Equatable {
  var facts: LoggedFacts
  var topic: [UInt8]
  var properties: [UInt8]
  var payload: [UInt8]

  init(
    _ topic: String, _ payload: [UInt8] = [1], qos: UInt8 = 1, retain: Bool = false,
    publisher: UInt64 = 0, expiresAt: UInt32 = 0, properties: [UInt8] = []
  ) {
    facts = LoggedFacts(publisher: publisher, expiresAt: expiresAt, qos: qos, retain: retain)
    self.topic = topic.bytes
    self.properties = properties
    self.payload = payload
  }

  init(_ message: borrowing LoggedMessage) {
    facts = message.facts
    topic = message.topic.array
    properties = message.properties.array
    payload = message.payload.array
  }

  init(_ place: LogPlace) {
    self = place.segment.records.withMessage(at: place.offset) { Sample($0) }
  }

  // The derived one takes ages for large payloads, as tests are not optimised.
  static func == (one: Sample, other: Sample) -> Bool {
    one.facts == other.facts && one.topic == other.topic && one.properties == other.properties
      && one.payload.span.hasSameBytes(as: other.payload.span)
  }

  /// What the limits of retained messages count.
  var byteCount: Int { topic.count + properties.count + payload.count }
}

extension LogSegment {
  /// Copies of its messages.
  var samples: [Sample] {
    var list: [Sample] = []
    records.forEach { message, _ in list.append(Sample(message)) }
    return list
  }
}

extension StoreBatch {
  /// Adds a message, and gives its offset.
  func append(_ sample: Sample) -> Int {
    messages.append(
      sample.facts, topic: sample.topic.span, properties: sample.properties.span,
      payload: sample.payload.span)
  }

  /// Adds a message with the order to publish it.
  func publish(_ sample: Sample, appends: Bool = true, pending: UInt64 = 0) {
    let offset = append(sample)
    orders.append(.publish(offset: offset, appends: appends, pending: pending))
  }

  /// Adds a message with the order to publish it to one client.
  func publish(
    _ sample: Sample, to client: String, pending: UInt64 = 1, tellsAbsent: Bool = false
  ) {
    let offset = append(sample)
    orders.append(
      .publishTo(
        client: client.bytes, offset: offset, pending: pending, tellsAbsent: tellsAbsent))
  }

  /// Adds a message with the order to publish it and say how many are owed it.
  func publishCounted(
    _ sample: Sample, appends: Bool = true, pending: UInt64 = 1, tellsAbsent: Bool = false
  ) {
    let offset = append(sample)
    orders.append(
      .publishCounted(
        offset: offset, appends: appends, pending: pending, tellsAbsent: tellsAbsent))
  }

  func subscribe(
    _ id: StoredSessionID, _ filter: String, options: UInt8 = 1, identifier: UInt32 = 0
  ) {
    orders.append(
      .subscribe(
        id, StoredSubscription(filter: filter.bytes, options: options, identifier: identifier)))
  }

  func create(_ id: StoredSessionID, _ client: String) {
    orders.append(.create(id, client: client.bytes, .away, SessionProgress()))
  }

  func load(_ client: String) {
    orders.append(.load(SessionQuery(client: client.bytes, asker: .nobody)))
  }

  func read(
    _ id: StoredSessionID, after: UInt64 = 0, maximumMessages: Int = 1000,
    maximumBytes: Int = 1 << 30
  ) {
    orders.append(
      .read(
        LogQuery(
          asker: .nobody, session: id, after: after, epoch: 0, maximumMessages: maximumMessages,
          maximumBytes: maximumBytes)))
  }
}

extension Asker {
  static var nobody: Asker { Asker(slot: 0, generation: 0) }
}

extension SessionPresence {
  /// A session that never ends, whose client is away.
  static var away: SessionPresence {
    SessionPresence(version: 5, isConnected: false, expiryInterval: .max)
  }
}

extension DirectTopic {
  /// A span can't be named within an expectation.
  init?(_ bytes: [UInt8]) { self.init(bytes.span) }
}

extension [Engine.Effect] {
  /// What loops were told besides segments.
  var events: [StoreEvent] {
    compactMap { if case .event(_, let event) = $0 { event } else { nil } }
  }

  var segments: [LogSegment] {
    compactMap { if case .segment(let segment, _) = $0 { segment } else { nil } }
  }

  var pages: [LogPage] { events.compactMap { if case .page(let page) = $0 { page } else { nil } } }

  var sessions: [StoredSession?] {
    events.compactMap { if case .session(let answer) = $0 { answer.session } else { nil } }
  }

  var retained: [RetainedPage] {
    events.compactMap { if case .retained(let page) = $0 { page } else { nil } }
  }

  /// The numbers of messages that were refused.
  var refused: [UInt64] {
    events.compactMap { if case .refused(let pending) = $0 { pending } else { nil } }
  }
}

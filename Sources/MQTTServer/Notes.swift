import Net
import Packet
import PubSub
import Session
import Store
import Util

/// What those outside are told of clients: the hook runner, and those who watch events.
extension Worker {
  private func append(_ session: UInt32, _ what: ClientEvent.What) {
    let client = broker.directory.clientID(sessions.records[session].entry)
    broker.events.append(ClientEvent(clientID: client, time: WallClock.milliseconds, what: what))
  }

  /// Whether anybody wants to know what this session's client does. Backends are not told of each other.
  private func isWatched(_ session: UInt32) -> Bool {
    guard broker.events.isWatched else { return false }
    let slot = sessions.records[session].connection
    return slot == 0 || !trusted.contains(slot)
  }

  /// A client has its session.
  func noteConnected(_ session: UInt32, sessionPresent: Bool) {
    guard isWatched(session) else { return }
    append(session, .connected(hookedClient(session), sessionPresent: sessionPresent))
  }

  /// The connection of a client ends; it still is in the session's record.
  func noteEnded(_ session: UInt32, _ reason: ReasonCode, _ text: String) {
    let slot = sessions.records[session].connection
    guard !trusted.contains(slot) else { return }
    let end = ConnectionEnd(text: text, reason: reason, time: WallClock.milliseconds)
    if hookPoints.contains(.disconnect) { hooks?.disconnected(hookedClient(session), end) }
    if broker.events.isWatched { append(session, .disconnected(end)) }
  }

  /// Whether anybody wants to know how connections end.
  var notesEnds: Bool { hookPoints.contains(.disconnect) || broker.events.isWatched }

  /// A client has subscribed.
  func noteSubscribed(
    _ session: UInt32, _ filter: Span<UInt8>, _ options: SubscriptionOptions, _ identifier: UInt32
  ) {
    guard isWatched(session) else { return }
    append(
      session,
      .subscribed(
        StoredSubscription(
          filter: filter.array, options: options.rawValue, identifier: identifier)))
  }

  /// A client has unsubscribed.
  func noteUnsubscribed(_ session: UInt32, _ filters: [[UInt8]]) {
    let slot = sessions.records[session].connection
    guard !filters.isEmpty, slot == 0 || !trusted.contains(slot) else { return }
    if hookPoints.contains(.unsubscribe) {
      hooks?.unsubscribed(hookedClient(session), filters: filters)
    }
    guard broker.events.isWatched else { return }
    for filter in filters { append(session, .unsubscribed(filter: filter)) }
  }

  /// Whether anybody wants to know what clients unsubscribe from.
  var notesUnsubscribes: Bool { hookPoints.contains(.unsubscribe) || broker.events.isWatched }

  // MARK: Messages

  /// The key of a message; nil where it has none.
  func key(of message: borrowing MessageView) -> [UInt8]? {
    let properties = message.properties
    guard !properties.isEmpty else { return nil }
    let name = OutsideMessage.keyProperty
    var cursor = UserPropertyCursor(block: ByteRange(offset: 0, count: properties.count))
    while let property = cursor.next(properties) {
      if properties.extracting(property.name).hasSameBytes(as: name.span) {
        return properties.extracting(property.value).array
      }
    }
    return nil
  }

  /// Whether it is to be told that a client has acknowledged a message, so that it is kept until then.
  func isTold(_ message: borrowing MessageView) -> Bool {
    guard tellsDelivered, let hooks, hooks.tellsDelivered(message.topic) else { return false }
    return key(of: message) != nil
  }

  /// What to tell of a message that a session's client acknowledges; nil for nothing.
  func deliveredNote(_ session: UInt32, _ packetID: UInt16) -> DeliveredNote? {
    let body = sessions.bodyInFlight(session, packetID)
    guard body != 0 else { return nil }
    return sessions.messages.withView(body) { message in
      guard let hooks, hooks.tellsDelivered(message.topic), let key = key(of: message) else {
        return nil
      }
      return DeliveredNote(
        client: hookedClient(session), key: key, topic: message.topic.array,
        time: WallClock.milliseconds)
    }
  }

  /// A message is kept in memory for clients that are away.
  func tellOffline(_ message: borrowing MessageView, clients: [[UInt8]]) {
    guard tellsOffline, let hooks, hooks.tellsOffline(message.topic) else { return }
    hooks.offline(outside(message), clients: clients)
  }

  /// The store keeps a message for clients that are away.
  func tellOffline(_ absent: AbsentClients) {
    guard let hooks, !absent.clients.isEmpty else { return }
    let message = absent.place.segment.records.withMessage(at: absent.place.offset) { message in
      outside(MessageView(message, expiresAt: localSecond(message.facts.expiresAt)))
    }
    hooks.offline(message, clients: absent.clients)
    guard absent.more > 0 else { return }
    journal.note(
      self,
      "of a message for many only the first \(absent.clients.count) clients that are away were told, of \(absent.more) subscriptions none was looked at"
    )
  }

  /// A copy of a message for those outside, with the seconds that it still lives: 1 in its last, as 0 stands
  /// for ever.
  func outside(_ message: borrowing MessageView) -> OutsideMessage {
    OutsideMessage(
      topic: message.topic.array, properties: message.properties.array,
      payload: message.payload.array, qos: message.facts.qos, retain: message.facts.retain,
      lifetime: message.facts.intervalLeft(at: second).map { max(1, $0) } ?? 0)
  }
}

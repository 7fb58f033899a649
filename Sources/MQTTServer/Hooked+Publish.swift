import Net
import Packet
import PubSub
import Session
import Util

/// Messages of clients about which somebody outside is asked, or that an access list or a rate bounds.
extension Worker {
  /// What becomes of a message.
  enum Judgement {
    case publish
    /// Somebody is to be asked first, and the packet is then handled anew.
    case ask
    case refuse(ReasonCode)
    case drop
    case replace(OutsideMessage)
  }

  /// Whether somebody is to be asked about a message. It says the same when the message is looked at ahead as when it
  /// is handled.
  private func asks(_ slot: UInt32, _ session: UInt32, _ topic: Span<UInt8>) -> Bool {
    guard askedTopics.lets(topic), hasFewLevels(topic), !isReserved(topic),
      trusted.isEmpty || !trusted.contains(slot)
    else { return false }
    guard let access = identities[session]?.access else { return true }
    return access.mayPublish(topic)
  }

  /// Asks about the PUBLISH that begins at an offset, and about those that follow it.
  func askAboutPublish(
    _ slot: UInt32, _ bytes: Span<UInt8>, from offset: Int, _ version: ProtocolVersion
  ) {
    guard let hooks else { return }
    let session = loop.connections[slot].owner
    var messages: [OutsideMessage] = []
    var size = 0
    var next = offset
    while messages.count < Limits.messagesPerQuestion && size < Limits.bytesPerQuestion,
      let end = lookAhead(
        slot, session, bytes, from: next, version, isFirst: next == offset, into: &messages, &size)
    {
      next = end
    }
    let question = PublishQuestion(client: hookedClient(session), messages: messages)
    hooks.publish(question, answer: answerer(slot) { .publish($0) })
  }

  /// Looks at one PUBLISH, and adds it if it is to be asked about. Gives where it ends; nil where there is none, or
  /// where what became of others decides on what it is.
  private func lookAhead(
    _ slot: UInt32, _ session: UInt32, _ bytes: Span<UInt8>, from offset: Int,
    _ version: ProtocolVersion, isFirst: Bool, into messages: inout [OutsideMessage],
    _ size: inout Int
  ) -> Int? {
    guard
      case .packet(let header)? = try? decodeFrame(
        bytes, from: offset, maximumPacketSize: options.maximumPacketSize, version: version),
      header.type == .publish
    else { return nil }
    let end = offset + header.totalLength
    let packet = bytes.extracting(offset..<end)
    guard let publish = try? Publish.decode(packet, header: header, version: version) else {
      return nil
    }
    let alias = publish.properties.topicAlias ?? 0
    if alias != 0 && publish.topic.isEmpty {
      let text = receivedAlias(session, alias)
      // One that an earlier PUBLISH of these may set is looked at when that is done.
      guard isFirst, text != 0 else { return nil }
      sessions.blocks.withText(text) { topic in
        consider(slot, session, publish, packet, topic, into: &messages, &size)
      }
    } else {
      consider(
        slot, session, publish, packet, packet.extracting(publish.topic), into: &messages, &size)
    }
    return end
  }

  private func consider(
    _ slot: UInt32, _ session: UInt32, _ publish: Publish, _ packet: Span<UInt8>,
    _ topic: Span<UInt8>, into messages: inout [OutsideMessage], _ size: inout Int
  ) {
    guard asks(slot, session, topic) else { return }
    let message = OutsideMessage(
      topic: topic.array, properties: forwarded(publish.properties, of: packet),
      payload: packet.extracting(publish.payload).array, qos: publish.qos, retain: publish.retain,
      lifetime: publish.properties.messageExpiryInterval ?? 0)
    size += message.topic.count + message.properties.count + message.payload.count
    messages.append(message)
  }

  /// What becomes of a message whose topic may be published to: what its client's access list says, and what was
  /// answered about it.
  func judge(_ slot: UInt32, _ session: UInt32, _ topic: Span<UInt8>) -> Judgement {
    let identity = identities.isEmpty ? nil : identities[session]
    if let access = identity?.access, !access.mayPublish(topic) { return .refuse(.notAuthorized) }
    guard asks(slot, session, topic) else {
      if let identity { countRate(slot, session, identity) }
      return .publish
    }
    guard var question = questions[slot], case .publish(let verdicts)? = question.verdict,
      question.followed < verdicts.count
    else { return .ask }
    if let identity { countRate(slot, session, identity) }
    let verdict = verdicts[question.followed]
    question.followed += 1
    questions[slot] = question
    switch verdict {
    case .allow: return .publish
    case .refuse(let reason): return .refuse(reason.forPubAck)
    case .drop: return .drop
    case .rewrite(let message):
      let topic = message.topic.span
      guard validateTopicName(topic), hasFewLevels(topic), !isReserved(topic) else {
        return .refuse(.topicNameInvalid)
      }
      guard !message.retain || options.retainAvailable else { return .refuse(.notAuthorized) }
      return .replace(message)
    }
  }

  // MARK: Rates

  /// Counts a message of a client whose rate is bounded; with the last of a second it is not read until the next.
  private func countRate(_ slot: UInt32, _ session: UInt32, _ identity: Identity) {
    guard identity.publishesPerSecond > 0 else { return }
    var rate = rates[session] ?? (second, 0)
    if rate.second != second { rate = (second, 0) }
    rate.count += 1
    rates[session] = rate
    guard rate.count >= identity.publishesPerSecond,
      loop.connections[slot].traits & Hold.rate.rawValue == 0
    else { return }
    hold(slot, .rate)
    slowed.append((slot, loop.connections[slot].generation, second))
  }

  /// Reads those again whose second is over.
  func releaseSlowed() {
    slowed.removeAll { slot, generation, began in
      guard loop.connections[slot].generation == generation else { return true }
      guard began != second else { return false }
      release(slot, .rate)
      return true
    }
  }
}

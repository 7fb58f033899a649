import Net
import Packet
import Session
import Store
import Util

extension Worker {
  /// Takes a CONNECT. True when the connection has left for the loop of its session.
  /// - Parameter hasWaited: whether it waited for the store, so that the connection stays here: what
  ///   follows its CONNECT is still with the loop.
  func handleConnect(
    _ slot: UInt32, _ packet: Span<UInt8>, _ header: FixedHeader, rest: Span<UInt8>,
    from offset: Int, hasWaited: Bool = false
  ) -> Bool {
    let connect: Connect
    do throws(DecodeError) {
      connect = try Connect.decode(packet, header: header)
    } catch {
      refuseConnect(slot, error, Connect.peekVersion(packet, header: header))
      return false
    }
    loop.connections[slot].dialect = connect.version.rawValue
    if let (reason, text) = objection(to: connect, packet, isTrusted: trusted.contains(slot)) {
      refuseConnect(slot, connect.version, reason, text, maximum: connect.maximumPacketSize)
      return false
    }
    switch admit(slot, connect, packet) {
    case .granted: break
    case .asked: return false
    case .refused(let reason, let text):
      refuseConnect(slot, connect.version, reason, text, maximum: connect.maximumPacketSize)
      return false
    }
    if connect.clientID.isEmpty {
      let assigned = Worker.makeClientID()
      establish(slot, connect, packet, assigned.span, assigned: assigned)
      return false
    }
    let id = packet.extracting(connect.clientID)
    guard
      let elsewhere = establish(slot, connect, packet, id, assigned: nil, hasWaited: hasWaited)
    else { return false }
    guard !hasWaited else {
      refuseArrival(slot, "its session has moved meanwhile")
      return false
    }
    depart(slot, to: elsewhere, rest.extracting(droppingFirst: offset))
    return true
  }

  /// What speaks against a CONNECT that is well formed; nil if nothing does.
  private func objection(
    to connect: Connect, _ packet: Span<UInt8>, isTrusted: Bool
  ) -> (ReasonCode, String)? {
    if connect.authenticationMethod != nil {
      return (.badAuthenticationMethod, "no authentication method is configured")
    }
    if connect.clientID.count > UInt32(options.maximumClientIDBytes) {
      return (.clientIdentifierNotValid, "client id is too long")
    }
    if connect.clientID.isEmpty {
      // 3.1 wants 1 to 23 characters; 3.1.1 lets the server choose for a clean session only
      // [MQTT-3.1.3-8]; 5 always does [MQTT-3.1.3-6].
      if connect.version == .v3_1 || (connect.version == .v3_1_1 && !connect.cleanStart) {
        return (.clientIdentifierNotValid, "client id is empty")
      }
    }
    if let will = connect.will {
      if Int(will.qos.rawValue) > options.maximumQoS {
        return (.qosNotSupported, "will QoS is not supported")
      }
      if will.retain && !options.retainAvailable {
        return (.retainNotSupported, "will retain is not supported")
      }
      let topic = packet.extracting(will.topic)
      if !hasFewLevels(topic) || isReserved(topic) {
        return (.topicNameInvalid, "will topic is not allowed")
      }
      if options.checksPayloadFormat && will.properties.payloadFormatIndicator == 1
        && !isText(packet.extracting(will.payload))
      {
        return (.payloadFormatInvalid, "will payload is not UTF-8")
      }
    }
    if !isTrusted && Worker.isOfBackend(packet.extracting(connect.clientID)) {
      return (
        .clientIdentifierNotValid, "client ids that begin with $backend/ are the broker's own"
      )
    }
    if !isTrusted && broker.connectionCount.load(ordering: .relaxed) > broker.connectionLimit {
      return (.quotaExceeded, "too many connections")
    }
    return nil
  }

  /// Gives a connection its session, new or kept. Gives the number of the loop that the session is
  /// on, if another one made it meanwhile.
  @discardableResult
  private func establish(
    _ slot: UInt32, _ connect: Connect, _ packet: Span<UInt8>, _ id: Span<UInt8>,
    assigned: [UInt8]?, hasWaited: Bool = false
  ) -> Int? {
    var session: UInt32 = 0
    var wasStored = false
    if let owner = broker.directory.find(id) {
      guard Int(owner.loop) == number else { return Int(owner.loop) }
      session = owner.slot
      if isArriving(session) {
        if let stored, stored.store.isFailing {
          refuseArrival(slot, "the store can't be used at present")
          return nil
        }
        keepWaiting(slot, session, packet.array, nil)
        return nil
      }
      wasStored = sessions.isStored(session)
      takeOver(session, endsSession: connect.cleanStart)
      // A session that was to end with its connection has ended now.
      if !sessions.isCurrent(session, owner.generation) { session = 0 }
    }
    // One that is to end with its connection and has none is new: the store had nothing for it.
    let isPresent = session != 0 && sessions.expiryInterval(session) != 0
    if session == 0 {
      guard let made = sessions.create(entry: 0, version: connect.version) else {
        refuseConnect(slot, connect.version, .serverBusy, "no room for a session")
        return nil
      }
      let owner = SessionOwner(
        loop: UInt8(number), slot: made, generation: sessions.records[made].generation)
      switch broker.directory.claim(id, for: owner) {
      case .claimed(let entry): sessions.records[made].entry = entry
      case .exists(let other):
        sessions.remove(made)
        return Int(other.loop)
      case .full:
        sessions.remove(made)
        refuseConnect(slot, connect.version, .serverBusy, "no room for a client id")
        return nil
      }
      session = made
      // Once the store has been asked, and nothing was ended that it had, that it may have something is a
      // wrong guess. Of what was ended it is asked again: the answer comes behind the end, without which
      // the client must not be told that there is no session.
      if !hasWaited || wasStored, let stored, stored.store.mayHaveSession(of: id) {
        guard !stored.store.isFailing, load(session, id.array) else {
          endSession(session)
          refuseArrival(slot, "the store can't be used at present")
          return nil
        }
        keepWaiting(slot, session, packet.array, nil)
        return nil
      }
    }
    guard keepWill(session, connect, packet), keepLimits(session, connect) else {
      refuseConnect(slot, connect.version, .serverBusy, "out of memory")
      endSession(session)
      return nil
    }
    begin(slot, session, connect, packet, id, isPresent: isPresent, assigned: assigned)
    return nil
  }

  /// Notes what the client asked for, and answers once it is stored where it has to be.
  private func begin(
    _ slot: UInt32, _ session: UInt32, _ connect: Connect, _ packet: Span<UInt8>,
    _ id: Span<UInt8>, isPresent: Bool, assigned: [UInt8]?
  ) {
    let isV5 = connect.version.hasProperties
    let asked = isV5 ? connect.sessionExpiryInterval ?? 0 : connect.cleanStart ? 0 : .max
    // Backends' cursors last until they are deleted.
    let longestExpiry =
      trusted.contains(slot)
      ? .max : min(options.maximumSessionExpiry, admitted[slot]?.maximumSessionExpiry ?? .max)
    let expiry = min(asked, longestExpiry)
    let isForStore = isPresent || expiry != 0
    if isForStore, let stored, stored.store.isFailing {
      refuseConnect(slot, connect.version, .serverBusy, "the store can't be written at present")
      return settle(session)
    }
    let extra = sessions.records[session].extras
    if extra != 0 {
      // What was due while the client was away would end a session that now lasts for ever.
      sessionTimers.cancel(extra, in: sessions.extras)
      sessions.extras[extra].expiryDue = 0
      sessions.extras[extra].parkDue = 0
    }
    sessions.records[session].version = connect.version
    guard sessions.setExpiryInterval(session, expiry) else {
      refuseConnect(slot, connect.version, .serverBusy, "out of memory")
      return endSession(session)
    }
    sessions.records[session].flags.remove(.wantsProblemInformation)
    if connect.requestProblemInformation {
      sessions.records[session].flags.insert(.wantsProblemInformation)
    }
    sessions.records[session].sendQuota = UInt16(
      min(Int(connect.receiveMaximum), options.session.maximumInflight))
    var keepAlive = connect.keepAlive
    let longest = options.maximumKeepAlive
    // Only MQTT 5 can tell a client to use another keep alive than its own [MQTT-3.1.2-21].
    if isV5 && longest != 0 && (keepAlive == 0 || keepAlive > longest) { keepAlive = longest }
    sessions.records[session].keepAlive = keepAlive
    var answer = ConnAckPacket(reason: .success, sessionPresent: isPresent)
    if isV5 {
      if expiry != asked { answer.sessionExpiryInterval = expiry }
      answer.receiveMaximum = UInt16(options.session.receiveMaximum)
      if options.maximumQoS < 2 { answer.maximumQoS = QoS(rawValue: UInt8(options.maximumQoS)) }
      if !options.retainAvailable { answer.retainAvailable = false }
      answer.maximumPacketSize = UInt32(options.maximumPacketSize)
      answer.assignedClientIdentifier = assigned
      answer.topicAliasMaximum = options.topicAliasMaximum
      if !options.wildcardSubscriptionAvailable { answer.wildcardSubscriptionAvailable = false }
      if !options.sharedSubscriptionAvailable { answer.sharedSubscriptionAvailable = false }
      if keepAlive != connect.keepAlive { answer.serverKeepAlive = keepAlive }
    }
    guard isForStore, store(session, slot, packet, id, answer) else {
      return attach(slot, session, answer)
    }
  }

  /// Hands a session that outlives its connection to the store, if there is one: the client is answered
  /// when it is durable. False where nothing is to be stored.
  private func store(
    _ session: UInt32, _ slot: UInt32, _ packet: Span<UInt8>, _ id: Span<UInt8>,
    _ answer: ConnAckPacket
  ) -> Bool {
    let record = sessions.records[session].lasting
    guard let stored, record != 0 else { return false }
    if sessions.lasting[record].storedID == 0 {
      let presence = presence(session, isConnected: true)
      let storedID = stored.store.makeSessionID()
      sessions.lasting[record].storedID = storedID
      sessions.lasting[record].flags.insert(.isLive)
      stored.add(
        .create(storedID, client: id.array, presence, SessionProgress()),
        bytes: id.count + (presence.will?.payload.count ?? 0))
    } else {
      tellPresence(session, isConnected: true)
      // Behind what it has in flight, of which nothing is to be dropped.
      tellProgress(session)
      stored.add(
        .resume(
          sessions.storedID(session),
          Asker(slot: session, generation: sessions.records[session].generation)))
    }
    sessions.lasting[record].flags.insert(.isArriving)
    keepWaiting(slot, session, packet.array, answer)
    stored.wait(
      .connected(session: session, generation: sessions.records[session].generation))
    return true
  }

  /// Gives a connection its session, and tells its client.
  func attach(_ slot: UInt32, _ session: UInt32, _ answer: ConnAckPacket) {
    counters.connects += 1
    counters.connected += 1
    if !hops.isEmpty { hops.removeValue(forKey: slot) }
    if let identity = admitted.removeValue(forKey: slot) { identities[session] = identity }
    sessions.records[session].connection = slot
    loop.connections[slot].owner = session
    loop.connections[slot].phase = Phase.connected
    if sessions.records[session].keepAlive == 0 {
      loop.cancelTimer(slot)
    } else {
      loop.setTimer(slot, at: loop.now + keepAliveTicks(session))
    }
    let version = sessions.records[session].version
    var answer = answer
    var size = answer.encodedCount(version)
    if size > sessions.maximumPacketSize(session) {
      // What is only good to know is left out [MQTT-3.2.2-20].
      answer.userProperties = []
      size = answer.encodedCount(version)
    }
    guard size <= sessions.maximumPacketSize(session) else {
      // It may not be sent [MQTT-3.1.2-24], and the client can't go without it.
      return disconnect(slot, .packetTooLarge, "it takes no packet as large as a CONNACK")
    }
    send(slot, count: size) { answer.encode(version, into: &$0) }
    noteConnected(session, sessionPresent: answer.sessionPresent)
    if answer.sessionPresent {
      setShareMembership(session, isAway: false)
      pump(session)
    }
  }

  /// Keeps the will of this connection in place of an earlier one; false without memory.
  private func keepWill(_ session: UInt32, _ connect: Connect, _ packet: Span<UInt8>) -> Bool {
    sessions.discardWill(session)
    guard let will = connect.will else { return true }
    guard let extra = sessions.makeExtras(session) else { return false }
    let properties = forwarded(will.properties, of: packet)
    let message = MessageView(
      facts: MessageFacts(
        qos: will.qos, retain: will.retain, publisher: sessions.records[session].entry),
      topic: packet.extracting(will.topic), properties: properties.span,
      payload: packet.extracting(will.payload))
    guard let kept = sessions.messages.keep(message) else { return false }
    sessions.extras[extra].will = kept
    sessions.extras[extra].willDelay = will.delayInterval
    sessions.extras[extra].willLifetime = will.properties.messageExpiryInterval ?? 0
    return true
  }

  /// Keeps limits that few clients have; false without memory.
  private func keepLimits(_ session: UInt32, _ connect: Connect) -> Bool {
    let aliases = min(
      connect.topicAliasMaximum, options.topicAliasMaximum, Limits.sentAliases)
    if connect.maximumPacketSize != 0 || aliases != 0 {
      guard let extra = sessions.makeExtras(session) else { return false }
      sessions.extras[extra].maximumPacketSize = connect.maximumPacketSize
      sessions.extras[extra].sendAliasMaximum = aliases
    } else if sessions.records[session].extras != 0 {
      let extra = sessions.records[session].extras
      sessions.extras[extra].maximumPacketSize = 0
      sessions.extras[extra].sendAliasMaximum = 0
    }
    return true
  }

  /// Ends the connection that a session has, because its client has come over another one
  /// [MQTT-3.1.4-3], and the session too if the client wants a new one [MQTT-3.1.2-4].
  private func takeOver(_ session: UInt32, endsSession: Bool) {
    let generation = sessions.records[session].generation
    let old = sessions.records[session].connection
    if old != 0 {
      goodbye(old, .sessionTakenOver, nil)
      loop.connections[old].owner = 0
      connectionGone(old)
      loop.finish(old)
      // A will without delay is published although the session goes on; one with delay is not,
      // because the client is back in time [MQTT-3.1.3-9].
      let extra = sessions.records[session].extras
      let isDelayed = extra != 0 && sessions.extras[extra].willDelay > 0
      sessionLostConnection(
        session, publishesWill: endsSession || !isDelayed, .sessionTakenOver,
        "the client connected anew")
    }
    guard sessions.isCurrent(session, generation) else { return }
    if endsSession { endSession(session) } else { sessions.discardWill(session) }
  }

  /// A client id that nobody has: 96 random bits.
  private static func makeClientID() -> [UInt8] {
    let digits = Array("0123456789abcdefghijklmnopqrstuv".utf8)
    var id = Array("auto-".utf8)
    for _ in 0..<20 { id.append(digits[Int.random(in: 0..<32)]) }
    return id
  }

  // MARK: Refusals

  private func refuseConnect(_ slot: UInt32, _ error: DecodeError, _ version: ProtocolVersion?) {
    if error == .protocolLevelUnsupported {
      // In the nearest version that there is [MQTT-3.1.2-2]: later ones are like MQTT 5.
      let nearest = version ?? .v3_1_1
      let answer = ConnAckPacket(reason: .unsupportedProtocolVersion)
      send(slot, count: answer.encodedCount(nearest)) { answer.encode(nearest, into: &$0) }
    } else if version == .v5 && error != .protocolNameUnknown {
      let answer = ConnAckPacket(reason: error.reason)
      send(slot, count: answer.encodedCount(.v5)) { answer.encode(.v5, into: &$0) }
    }
    refuse(slot, "CONNECT refused: \(error)")
  }

  private func refuseConnect(
    _ slot: UInt32, _ version: ProtocolVersion, _ reason: ReasonCode, _ text: String,
    maximum: UInt32 = 0
  ) {
    var answer = ConnAckPacket(reason: reason)
    if version.hasProperties {
      answer.reasonString = Array(text.utf8)
      // No text for a client whose limit it would break [MQTT-3.2.2-19].
      if maximum != 0 && answer.encodedCount(version) > Int(maximum) { answer.reasonString = nil }
    }
    send(slot, count: answer.encodedCount(version)) { answer.encode(version, into: &$0) }
    refuse(slot, "CONNECT refused: \(text)")
  }
}

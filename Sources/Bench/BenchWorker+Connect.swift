import Client
import Net
import Packet
import Util

extension BenchWorker {
  /// Ticks that the server has for a handshake: 60 s, because a storm of them takes its time.
  static var handshakeTicks: UInt32 { 480 }

  /// Begins as many connections as may be on their way.
  func connectMore() {
    while nextToConnect < clients.count && connecting < Self.connectingLimit {
      let index = nextToConnect
      nextToConnect += 1
      let number = plans[index].number
      let source =
        options.sources.isEmpty ? nil : options.sources[number % options.sources.count]
      do throws(NetError) {
        let slot = try loop.connect(to: options.address, port: options.port, from: source)
        loop.connections[slot].owner = UInt32(index)
        clients[index].slot = slot
        clients[index].phase = .connecting
        connecting += 1
        loop.setTimer(slot, at: loop.now + Self.handshakeTicks)
      } catch {
        gone(index, "\(error)")
      }
    }
  }

  func opened(_ slot: UInt32) {
    let index = Int(loop.connections[slot].owner)
    var packet = ConnectPacket(
      version: options.version,
      clientID: Array(FlowPlan.clientID(options.runName, plans[index].number).utf8),
      keepAlive: options.keepAlive)
    packet.cleanStart = options.endsSessions || !options.isPersistent
    if options.version == .v5 {
      if !packet.cleanStart { packet.sessionExpiryInterval = BenchOptions.sessionExpiry }
      // As many as the window needs, also where that is less than the server would send at once.
      packet.receiveMaximum = 65_535
    }
    clients[index].phase = .greeting
    write(slot, Encoded.connect(packet))
  }

  /// CONNACK or SUBACK; gives what is wrong with it, or nil.
  func greeted(
    _ slot: UInt32, _ packet: Span<UInt8>, _ header: FixedHeader
  ) throws(DecodeError) -> String? {
    let index = Int(loop.connections[slot].owner)
    switch (clients[index].phase, header.type) {
    case (.greeting, .connAck):
      let answer = try ConnAck.decode(packet, header: header, version: options.version)
      if answer.reason.isError { return "the server refused a client: \(answer.reason)" }
      if options.endsSessions {
        becomeReady(slot, index)
        return nil
      }
      if answer.maximumQoS < options.qos && clients[index].role != .idle {
        return "the server takes QoS \(answer.maximumQoS.rawValue) at most"
      }
      if clients[index].role == .publisher {
        let publisher = Int(clients[index].index)
        publishers[publisher].inflightLimit = min(
          Int(answer.receiveMaximum), BenchOptions.maximumWindow)
        if answer.maximumPacketSize != 0
          && publishers[publisher].messageBytes > Int(answer.maximumPacketSize)
        {
          return "the server takes packets of \(answer.maximumPacketSize) bytes at most"
        }
      }
      if plans[index].role == .holder {
        clients[index].phase = .subscribing
        subscribeMore(slot, index)
      } else if plans[index].topic.isEmpty || plans[index].role == .publisher {
        becomeReady(slot, index)
      } else {
        clients[index].phase = .subscribing
        let filter = SubscribePacket.Filter(
          Array(plans[index].topic.utf8),
          SubscriptionOptions(qos: options.flow == .idle ? .atLeastOnce : options.qos))
        write(
          slot, Encoded.subscribe(SubscribePacket(packetID: 1, filters: [filter]), options.version))
      }
      return nil
    case (.subscribing, .subAck):
      let answer = try SubAck.decode(packet, header: header, version: options.version)
      if plans[index].role == .holder { return subscribedMore(slot, index, packet, answer) }
      let reason = ReasonCode(rawValue: packet[Int(answer.reasons.offset)])
      if reason.isError { return "the server refused a subscription: \(reason)" }
      if options.flow != .idle && reason.rawValue < options.qos.rawValue {
        return "the server granted a subscription with QoS \(reason.rawValue) only"
      }
      becomeReady(slot, index)
      return nil
    case (.greeting, .disconnect), (.subscribing, .disconnect):
      let goodbye = try Disconnect.decode(packet, header: header, version: options.version)
      return "the server refused a client: \(goodbye.reason)"
    default: return "the server sent a packet out of turn: \(header.type)"
    }
  }

  /// Filters that a holder subscribes to with one packet.
  static var filtersOfPacket: Int { 500 }

  private func subscribeMore(_ slot: UInt32, _ index: Int) {
    let held = plans[index].held.dropFirst(Int(clients[index].count)).prefix(Self.filtersOfPacket)
    let filters = held.map {
      SubscribePacket.Filter(
        Array(
          FlowPlan.otherFilter(
            options.runName, $0, hasWildcard: plans[index].heldHaveWildcards
          ).utf8), SubscriptionOptions(qos: options.qos))
    }
    write(
      slot, Encoded.subscribe(SubscribePacket(packetID: 1, filters: filters), options.version))
    // A million of them take a broker its time: what counts is that it goes on.
    loop.setTimer(slot, at: loop.now + Self.handshakeTicks)
  }

  private func subscribedMore(
    _ slot: UInt32, _ index: Int, _ packet: Span<UInt8>, _ answer: SubAck
  ) -> String? {
    for place in answer.reasons.range {
      let reason = ReasonCode(rawValue: packet[place])
      if reason.isError { return "the server refused a subscription: \(reason)" }
    }
    clients[index].count += answer.reasons.count
    // Progress, for those who wait for all clients to be ready.
    lastProgress = MonotonicClock.nanoseconds
    if Int(clients[index].count) < plans[index].held.count {
      subscribeMore(slot, index)
    } else {
      becomeReady(slot, index)
    }
    return nil
  }

  private func becomeReady(_ slot: UInt32, _ index: Int) {
    clients[index].phase = .ready
    connecting -= 1
    ready += 1
    if options.keepAlive == 0 {
      loop.cancelTimer(slot)
    } else {
      loop.setTimer(slot, at: loop.now + UInt32(options.keepAlive) * 8 - 1)
    }
  }
}

import Net
import Packet
import Session
import Util

extension Worker {
  /// Takes PUBACK, PUBREC, PUBREL or PUBCOMP.
  func handleAcknowledgement(
    _ slot: UInt32, _ session: UInt32, _ packet: Span<UInt8>, _ header: FixedHeader,
    _ version: ProtocolVersion
  ) throws(DecodeError) {
    acknowledged(
      slot, session, try Acknowledgement.decode(packet, header: header, version: version), version)
  }

  /// One of the four acknowledgements was decoded.
  func acknowledged(
    _ slot: UInt32, _ session: UInt32, _ ack: Acknowledgement, _ version: ProtocolVersion
  ) {
    if ack.type == .pubRel { return released(slot, session, ack.packetID, version) }
    let note =
      tellsDelivered && !ack.reason.isError ? deliveredNote(session, ack.packetID) : nil
    let outcome = sessions.acknowledge(
      session, ack.packetID, ack.type, isError: ack.reason.isError)
    if let note, outcome == .completed || outcome == .release { hooks?.delivered(note) }
    switch outcome {
    case .completed:
      touch(session)
      pump(session)
    case .release:
      // Once the client has seen the PUBREL it may take the message for a new one: so that the
      // message was received is stored before.
      let isStored = sessions.isStored(session)
      if isStored { touch(session) }
      answer(slot, .pubRel, ack.packetID, .success, version, waits: isStored)
    case .unknown:
      // A PUBREC for nothing gets its PUBREL all the same, so that the client can forget it; MQTT 5
      // says that there was nothing.
      if ack.type == .pubRec && !ack.reason.isError {
        acknowledge(slot, .pubRel, ack.packetID, .packetIdentifierNotFound, version)
      }
    case .unexpected:
      disconnect(slot, .protocolError, "an acknowledgement of the wrong kind")
    }
  }

  private func released(
    _ slot: UInt32, _ session: UInt32, _ packetID: UInt16, _ version: ProtocolVersion
  ) {
    let isKnown = sessions.released(session, packetID)
    // PUBCOMP also for one that is unknown: it was released before [MQTT-4.3.3-11].
    // Once the client has seen it, it may use the identifier for another message.
    let isStored = isKnown && sessions.isStored(session)
    if isStored { touch(session) }
    answer(
      slot, .pubComp, packetID, isKnown ? .success : .packetIdentifierNotFound, version,
      waits: isStored)
  }

  /// Takes DISCONNECT.
  func handleDisconnect(
    _ slot: UInt32, _ session: UInt32, _ packet: Span<UInt8>, _ header: FixedHeader,
    _ version: ProtocolVersion
  ) throws(DecodeError) {
    let packet = try Disconnect.decode(packet, header: header, version: version)
    if let interval = packet.sessionExpiryInterval {
      if interval != 0 && sessions.expiryInterval(session) == 0 {
        // A session that was to end with its connection can't be kept after all [MQTT-3.14.2-2].
        return disconnect(slot, .protocolError, "session expiry was 0 and is set by DISCONNECT")
      }
      _ = sessions.setExpiryInterval(session, min(interval, options.maximumSessionExpiry))
    }
    let isStored = sessions.isStored(session)
    loop.connections[slot].owner = 0
    // A normal goodbye takes the will away [MQTT-3.14.4-3]; any other reason publishes it.
    if packet.reason == .normalDisconnection { sessions.discardWill(session) }
    sessionLostConnection(
      session, publishesWill: true, packet.reason, "the client disconnected")
    guard isStored, let stored else { return close(slot) }
    // That the connection is closed is the answer to DISCONNECT: by then it is stored what has become
    // of the session and the will.
    loop.connections[slot].phase = Phase.departing
    loop.cancelTimer(slot)
    hold(slot, .departure)
    stored.wait(.left(reply(slot)))
  }

  /// Closes a connection that no session has any more.
  func close(_ slot: UInt32) {
    connectionGone(slot)
    loop.finish(slot)
  }

  /// Takes AUTH, for which there is no method.
  func handleAuth(
    _ slot: UInt32, _ packet: Span<UInt8>, _ header: FixedHeader, _ version: ProtocolVersion
  ) throws(DecodeError) {
    _ = try Auth.decode(packet, header: header, version: version)
    disconnect(slot, .protocolError, "AUTH without an authentication method")
  }
}

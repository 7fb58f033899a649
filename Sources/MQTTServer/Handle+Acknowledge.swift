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
    switch sessions.acknowledge(session, ack.packetID, ack.type, isError: ack.reason.isError) {
    case .completed: pump(session)
    case .release: acknowledge(slot, .pubRel, ack.packetID, .success, version)
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
    acknowledge(
      slot, .pubComp, packetID, isKnown ? .success : .packetIdentifierNotFound, version)
  }

  /// Takes DISCONNECT.
  func handleDisconnect(
    _ slot: UInt32, _ session: UInt32, _ packet: Span<UInt8>, _ header: FixedHeader,
    _ version: ProtocolVersion
  ) throws(DecodeError) {
    let packet = try Disconnect.decode(packet, header: header, version: version)
    if let interval = packet.sessionExpiryInterval {
      if interval != 0 && sessions.records[session].expiryInterval == 0 {
        // A session that was to end with its connection can't be kept after all [MQTT-3.14.2-2].
        return disconnect(slot, .protocolError, "session expiry was 0 and is set by DISCONNECT")
      }
      setExpiry(session, min(interval, options.maximumSessionExpiry))
    }
    loop.connections[slot].owner = 0
    connectionGone(slot)
    loop.finish(slot)
    // A normal goodbye takes the will away [MQTT-3.14.4-3]; any other reason publishes it.
    if packet.reason == .normalDisconnection { sessions.discardWill(session) }
    sessionLostConnection(session, publishesWill: true)
  }

  /// Takes AUTH, for which there is no method.
  func handleAuth(
    _ slot: UInt32, _ packet: Span<UInt8>, _ header: FixedHeader, _ version: ProtocolVersion
  ) throws(DecodeError) {
    _ = try Auth.decode(packet, header: header, version: version)
    disconnect(slot, .protocolError, "AUTH without an authentication method")
  }
}

import Net
import Packet
import Session
import Util

/// How connections end for a reason of ours, and the one place where a fault becomes an answer.
extension Worker {
  /// Ends a connection that has no session: it gets no more packets than what is written already.
  func refuse(_ slot: UInt32, _ text: @autoclosure () -> String) {
    counters.refusals += 1
    journal.note(self, slot, text())
    connectionGone(slot)
    loop.finish(slot)
  }

  /// A client sent what can't be read: MQTT 5 says why, 3.x closes [MQTT-4.13.1-1].
  func fault(_ slot: UInt32, _ error: DecodeError, _ version: ProtocolVersion) {
    counters.protocolErrors += 1
    if loop.connections[slot].phase == Phase.connected {
      disconnect(slot, error.reason, "\(error)")
    } else {
      refuse(slot, "\(error)")
    }
  }

  /// Ends a client's connection for a fault of its own: its will is published [MQTT-3.1.2-8].
  func disconnect(_ slot: UInt32, _ reason: ReasonCode, _ text: @autoclosure () -> String) {
    journal.note(self, slot, text())
    let session = loop.connections[slot].owner
    goodbye(slot, reason, session != 0 ? text() : nil)
    loop.connections[slot].owner = 0
    connectionGone(slot)
    loop.finish(slot)
    if session != 0 {
      sessionLostConnection(session, publishesWill: true, reason, text())
    }
  }

  /// Sends DISCONNECT to a client that understands one from a server.
  func goodbye(_ slot: UInt32, _ reason: ReasonCode, _ text: String?) {
    let session = loop.connections[slot].owner
    guard session != 0, sessions.records[session].version == .v5 else { return }
    // Never a reason for a client that asked for none [MQTT-3.1.2-29], nor one that makes the
    // packet larger than it takes [MQTT-3.14.2-3].
    var packet = DisconnectPacket(reason: reason)
    if let text, sessions.records[session].flags.contains(.wantsProblemInformation) {
      packet.reasonString = Array(text.utf8)
      if packet.encodedCount(.v5) > sessions.maximumPacketSize(session) {
        packet.reasonString = nil
      }
    }
    send(slot, count: packet.encodedCount(.v5)) { packet.encode(.v5, into: &$0) }
  }

  /// A connection is about to go: what counts connections forgets it. Once for each.
  func connectionGone(_ slot: UInt32) {
    broker.forgetConnection(isTrusted: !trusted.isEmpty && trusted.remove(slot) != nil)
    hops.removeValue(forKey: slot)
    forgetQuestions(slot)
  }

  /// Adds a packet to what is written at the end of the turn.
  func send(_ slot: UInt32, count: Int, _ encode: (inout OutputSpan<UInt8>) -> Void) {
    counters.messagesSent += 1
    loop.write(slot, count: count, encode)
  }

  /// The client id of a session, for the log.
  func clientName(_ session: UInt32) -> String {
    let entry = sessions.records[session].entry
    return entry == 0 ? "unknown" : broker.directory.clientID(entry).span.description
  }

  /// Whether a topic or filter has no more levels than allowed.
  func hasFewLevels(_ topic: Span<UInt8>) -> Bool { options.allowsLevels(of: topic) }

  /// Whether a topic is one that only the broker publishes to: `$SYS` and below.
  func isReserved(_ topic: Span<UInt8>) -> Bool {
    guard topic.count >= 4, topic[0] == 0x24, topic[1] == 0x53, topic[2] == 0x59,
      topic[3] == 0x53
    else { return false }
    return topic.count == 4 || topic[4] == 0x2F
  }

  /// Whether a payload is UTF-8 text. U+0000 is allowed, other than in a string of the protocol.
  func isText(_ payload: Span<UInt8>) -> Bool {
    do {
      _ = try UTF8Span(validating: payload)
      return true
    } catch {
      return false
    }
  }
}

import Net
import Packet
import Session
import Util

/// Clients that are let in by somebody outside.
extension Worker {
  /// Whether a client may connect.
  enum Admission {
    case granted
    case refused(ReasonCode, String)
    /// Somebody is asked: the CONNECT is handled anew when there is an answer.
    case asked
  }

  /// Asks whether a client may connect, unless that was answered already.
  func admit(_ slot: UInt32, _ connect: Connect, _ packet: Span<UInt8>) -> Admission {
    guard let hooks, !trusted.contains(slot) else { return .granted }
    guard hookPoints.contains(.connect) else {
      // Nobody says another, so other hooks are told the one that it gave.
      if let name = connect.userName, !name.isEmpty {
        admitted[slot] = Identity(userName: packet.extracting(name).array)
      }
      return .granted
    }
    if let identity = admitted[slot] { return check(connect, packet, identity) }
    if let question = questions.removeValue(forKey: slot),
      case .connect(let verdict)? = question.verdict
    {
      switch verdict {
      case .allow(let identity):
        admitted[slot] = identity
        return check(connect, packet, identity)
      case .refuse(let reason, let text): return .refused(reason.forConnAck, text)
      }
    }
    let question = ConnectQuestion(
      client: HookedClient(
        clientID: packet.extracting(connect.clientID).array,
        userName: connect.userName.map { packet.extracting($0).array } ?? [],
        peer: loop.peerName(slot), version: connect.version.rawValue),
      password: connect.password.map { packet.extracting($0).array },
      cleanStart: connect.cleanStart, keepAlive: connect.keepAlive,
      will: connect.will.map { outside($0, of: packet) },
      userProperties: userProperties(connect.userProperties(), of: packet))
    hooks.connect(question, answer: answerer(slot) { .connect($0) })
    return .asked
  }

  /// What its identity says of a CONNECT.
  private func check(
    _ connect: Connect, _ packet: Span<UInt8>, _ identity: Identity
  ) -> Admission {
    if let will = connect.will, let access = identity.access,
      !access.mayPublish(packet.extracting(will.topic))
    {
      return .refused(.notAuthorized, "its will's topic is not allowed")
    }
    return .granted
  }

  private func outside(_ will: Connect.Will, of packet: Span<UInt8>) -> OutsideMessage {
    OutsideMessage(
      topic: packet.extracting(will.topic).array,
      properties: forwarded(will.properties, of: packet),
      payload: packet.extracting(will.payload).array, qos: will.qos, retain: will.retain,
      lifetime: will.properties.messageExpiryInterval ?? 0)
  }

  private func userProperties(_ cursor: UserPropertyCursor, of packet: Span<UInt8>) -> [UInt8] {
    var encoded: [UInt8] = []
    var cursor = cursor
    while let property = cursor.next(packet) {
      appendUserProperty(
        name: packet.extracting(property.name), value: packet.extracting(property.value),
        to: &encoded)
    }
    return encoded
  }
}

extension ReasonCode {
  /// The same where a CONNACK may bear it as a refusal, else that the client is not authorized.
  var forConnAck: ReasonCode { isError && isAllowedInConnAck ? self : .notAuthorized }

  /// The same where a PUBACK or PUBREC may bear it as a refusal, else that the client is not authorized.
  var forPubAck: ReasonCode { isError && isAllowedInPubAck ? self : .notAuthorized }

  /// The same where a SUBACK may bear it as a refusal, else that the client is not authorized.
  var forSubAck: ReasonCode { isError && isAllowedInSubAck ? self : .notAuthorized }
}

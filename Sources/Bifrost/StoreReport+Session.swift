import Bench
import Store
import StoreSQLite

/// What `inspect` says of a session.
extension SessionDetail {
  /// For programs. Names do not change their meaning; new ones may come.
  var json: JSONValue {
    .object(
      [Member.bytes("client", client), ("id", .integer(id))] + presence.members + [
        ("cursor", .integer(progress.cursor)),
        ("next_packet_id", .integer(UInt64(progress.nextPacketID))),
        ("backlog", .integer(backlog)), ("backlog_complete", .bool(isBacklogComplete)),
        ("unread", .integer(unread)), ("missing", .integer(missing)),
        ("window", .array(progress.window.map { $0.json(topics[$0.sequence]) })),
        ("inbound", .array(progress.inbound.map { .integer(UInt64($0)) })),
      ] + Member.position("inbox", inbox) + [
        ("subscriptions", .array(subscriptions.map { .object($0.members) }))
      ])
  }

  /// For people.
  var text: String {
    var lines: [(String, String)] = [
      ("client", Self.text(client)), ("session", "\(id), MQTT \(presence.protocolName)"),
      ("presence", presence.text), ("will", presence.will?.text ?? "none"),
      (
        "cursor",
        "\(progress.cursor), with "
          + (isBacklogComplete ? amount(backlog, "message") : "more than \(backlog) messages")
          + " owed behind it"
      ),
      ("unread", "\(amount(unread, "message")) since its client was last told"),
      ("in flight", "\(progress.window.count), \(missing) of them gone from the log"),
    ]
    lines += progress.window.map { ("", $0.text(topics[$0.sequence])) }
    lines.append(
      (
        "came in",
        progress.inbound.isEmpty
          ? "no identifier of QoS 2" : "identifiers \(progress.inbound)"
      ))
    lines.append(("subscriptions", "\(subscriptions.count)"))
    lines += subscriptions.map { ("", $0.text) }
    lines.append(
      ("inbox", inbox.map { "messages to this client, from behind \($0)" } ?? "none"))
    return rows(lines)
  }

  fileprivate static func text(_ bytes: [UInt8]) -> String {
    String(decoding: bytes, as: UTF8.self)
  }
}

extension SessionPresence {
  fileprivate var protocolName: String {
    switch version {
    case 3: "3.1"
    case 4: "3.1.1"
    default: "\(version)"
    }
  }

  fileprivate var text: String {
    let length = expiryInterval == .max ? "for ever" : "for \(expiryInterval) s"
    if isConnected { return "connected; the session lasts \(length) after that" }
    let end = expiresAt == 0 ? "stays \(length)" : "ends at \(Second.text(expiresAt))"
    return "away; the session \(end)"
      + (willDueAt == 0 ? "" : ", the will is due at \(Second.text(willDueAt))")
  }
}

extension StoredWill {
  fileprivate var text: String {
    "\(SessionDetail.text(topic)), QoS \(qos)\(retain ? ", retained" : ""), \(payload.count) bytes, "
      + "\(delay) s after the end"
  }
}

extension SessionDetail.Subscription {
  fileprivate var text: String {
    let options = subscription.options
    var text = "\(SessionDetail.text(subscription.filter)), QoS \(options & 3)"
    if options & 4 != 0 { text += ", no local" }
    if options & 8 != 0 { text += ", retain as published" }
    if options >> 4 & 3 != 0 { text += ", retain handling \(options >> 4 & 3)" }
    if subscription.identifier != 0 { text += ", identifier \(subscription.identifier)" }
    return text + ", from behind \(position)"
  }
}

extension WindowEntry {
  /// What the traits say, as `Session` has them.
  private var facts: [(String, Bool)] {
    [("retain", traits & 4 != 0), ("sent", traits & 8 != 0), ("shared", traits & 16 != 0)]
  }

  private var stateName: String {
    Int(state) < StoreFormat.states.count ? StoreFormat.states[Int(state)] : "\(state)"
  }

  fileprivate func json(_ topic: [UInt8]?) -> JSONValue {
    .object(
      Member.number("message", sequence) + (topic.map { Member.topic($0) } ?? [])
        + Member.number("packet_id", packetID) + [
          ("state", .string(stateName)), ("qos", .integer(UInt64(traits & 3))),
        ] + facts.flatMap { Member.flag($0.0, $0.1) } + Member.number("identifier", identifier))
  }

  fileprivate func text(_ topic: [UInt8]?) -> String {
    var text = sequence == 0 ? "an identifier" : "message \(sequence)"
    if let topic {
      let direct = DirectTopic(topic.span)
      text += ", \(SessionDetail.text(direct.map { Array(topic[$0.topic]) } ?? topic))"
      if let direct { text += ", for client \(SessionDetail.text(Array(topic[direct.client])))" }
    }
    text += packetID == 0 ? "" : ", packet \(packetID)"
    text += ", QoS \(traits & 3), " + (state == 0 ? "waits to be sent" : "awaits \(stateName)")
    return text + facts.filter(\.1).map { ", \($0.0)" }.joined()
  }
}

import Packet
import Util

/// Properties of MQTT 5 by their names in the standard, as they are given on a command line:
/// `publish content-type text/plain publish user-property name value`.
public struct NamedProperties: Sendable {
  /// Which packet a property is for.
  public enum Place: String, Sendable, CaseIterable {
    case connect, publish, subscribe, unsubscribe, will, disconnect
  }

  /// Why words are not properties; one line for people.
  public struct Problem: Error, Equatable, CustomStringConvertible {
    /// What is wrong.
    public let description: String
  }

  // Values of single properties; what is absent stays nil.
  var numbers: [Place: [PropertyID: UInt32]] = [:]
  /// Encoded strings, binary data and user properties of each place, in the order given.
  var encoded: [Place: [UInt8]] = [:]
  var authenticationMethod: [UInt8]?
  var authenticationData: [UInt8]?

  /// No properties.
  public init() {}

  /// Whether there are any.
  public var isEmpty: Bool { numbers.isEmpty && encoded.isEmpty && authenticationMethod == nil }

  /// Reads all of `words`: a place, a name, and one value, or two after `user-property`.
  public init(words: [String], allowed: [Place]) throws(Problem) {
    var rest = words[...]
    while let word = rest.popFirst() {
      guard let place = Place(rawValue: word.lowercased()), allowed.contains(place) else {
        let names = allowed.map(\.rawValue).joined(separator: ", ")
        throw Problem(description: "a property is for one of \(names), not for '\(word)'")
      }
      guard let name = rest.popFirst(), let value = rest.popFirst() else {
        throw Problem(description: "a property of \(word) lacks its name or its value")
      }
      guard let form = NamedProperties.forms[place]?[name] else {
        throw Problem(description: "\(word) has no property '\(name)'")
      }
      if form.id == .userProperty {
        guard let second = rest.popFirst() else {
          throw Problem(description: "user-property lacks its value")
        }
        try add(pair: value, second, to: place)
      } else {
        try add(form, name, value, to: place)
      }
    }
  }

  private mutating func add(
    pair name: String, _ value: String, to place: Place
  ) throws(Problem) {
    let (name, value) = (Array(name.utf8), Array(value.utf8))
    guard name.count <= 65_535, value.count <= 65_535 else {
      throw Problem(description: "a user property is longer than 65,535 bytes")
    }
    appendUserProperty(name: name.span, value: value.span, to: &encoded[place, default: []])
  }

  private mutating func add(
    _ form: Form, _ name: String, _ value: String, to place: Place
  ) throws(Problem) {
    if let range = form.range {
      guard let number = UInt32(value), range.contains(number) else {
        throw Problem(
          description: "\(name) is \(range.lowerBound) to \(range.upperBound), not '\(value)'")
      }
      guard numbers[place, default: [:]].updateValue(number, forKey: form.id) == nil else {
        throw Problem(description: "\(name) is given twice")
      }
      if form.id == .payloadFormatIndicator {
        encoded[place, default: []] += [form.id.rawValue, UInt8(number)]
      }
      return
    }
    let bytes = Array(value.utf8)
    guard bytes.count <= 65_535 else {
      throw Problem(description: "\(name) is longer than 65,535 bytes")
    }
    // The number means nothing; that it is there, that the name was given.
    guard numbers[place, default: [:]].updateValue(0, forKey: form.id) == nil else {
      throw Problem(description: "\(name) is given twice")
    }
    switch form.id {
    case .authenticationMethod: authenticationMethod = bytes
    case .authenticationData: authenticationData = bytes
    default:
      if form.id == .responseTopic, !validateTopicName(bytes.span) {
        throw Problem(description: "\(name) is not a topic name")
      }
      encoded[place, default: []] += [
        form.id.rawValue, UInt8(bytes.count >> 8), UInt8(bytes.count & 0xFF),
      ]
      encoded[place, default: []] += bytes
    }
  }
}

extension NamedProperties {
  /// A property, and which numbers it takes; nil for one with a string.
  struct Form {
    let id: PropertyID
    let range: ClosedRange<UInt32>?
  }

  /// Which properties a program may set where (MQTT 5, table 2-4).
  static let forms: [Place: [String: Form]] = {
    let word: ClosedRange<UInt32> = 0...UInt32.max
    let user = ["user-property": Form(id: .userProperty, range: nil)]
    let message: [String: Form] = [
      "content-type": Form(id: .contentType, range: nil),
      "correlation-data": Form(id: .correlationData, range: nil),
      "message-expiry-interval": Form(id: .messageExpiryInterval, range: word),
      "payload-format-indicator": Form(id: .payloadFormatIndicator, range: 0...1),
      "response-topic": Form(id: .responseTopic, range: nil),
    ]
    let connect: [String: Form] = [
      "authentication-data": Form(id: .authenticationData, range: nil),
      "authentication-method": Form(id: .authenticationMethod, range: nil),
      "maximum-packet-size": Form(id: .maximumPacketSize, range: 1...UInt32.max),
      "receive-maximum": Form(id: .receiveMaximum, range: 1...65_535),
      "request-problem-information": Form(id: .requestProblemInformation, range: 0...1),
      "request-response-information": Form(id: .requestResponseInformation, range: 0...1),
      "session-expiry-interval": Form(id: .sessionExpiryInterval, range: word),
      "topic-alias-maximum": Form(id: .topicAliasMaximum, range: 0...65_535),
    ]
    func with(_ forms: [String: Form]) -> [String: Form] { forms.merging(user) { old, _ in old } }
    return [
      .connect: with(connect),
      .publish: with(message).merging(
        ["topic-alias": Form(id: .topicAlias, range: 1...65_535)]) { old, _ in old },
      .subscribe: with([
        "subscription-identifier": Form(id: .subscriptionIdentifier, range: 1...268_435_455)
      ]),
      .unsubscribe: user,
      .will: with(message).merging(
        ["will-delay-interval": Form(id: .willDelayInterval, range: word)]) { old, _ in old },
      .disconnect: with(["session-expiry-interval": Form(id: .sessionExpiryInterval, range: word)]),
    ]
  }()

  private func number(_ id: PropertyID, _ place: Place) -> UInt32? { numbers[place]?[id] }

  /// Puts the properties of CONNECT and of its will into a packet.
  public func apply(to packet: inout ConnectPacket) {
    packet.sessionExpiryInterval =
      number(.sessionExpiryInterval, .connect) ?? packet.sessionExpiryInterval
    packet.receiveMaximum = number(.receiveMaximum, .connect).map { UInt16(clamping: $0) }
    packet.maximumPacketSize = number(.maximumPacketSize, .connect)
    packet.topicAliasMaximum = number(.topicAliasMaximum, .connect).map { UInt16(clamping: $0) }
    packet.requestProblemInformation =
      number(.requestProblemInformation, .connect).map { $0 == 1 }
    packet.requestResponseInformation =
      number(.requestResponseInformation, .connect).map { $0 == 1 }
    packet.authenticationMethod = authenticationMethod
    packet.authenticationData = authenticationData
    packet.userProperties = encoded[.connect] ?? []
    packet.will?.delayInterval = number(.willDelayInterval, .will)
    packet.will?.messageExpiryInterval = number(.messageExpiryInterval, .will)
    packet.will?.forwardedProperties = encoded[.will] ?? []
  }

  /// Puts the properties of PUBLISH into a message.
  public func apply(to message: inout OutgoingMessage) {
    message.expiryInterval = number(.messageExpiryInterval, .publish)
    message.topicAlias = UInt16(clamping: number(.topicAlias, .publish) ?? 0)
    message.forwardedProperties = encoded[.publish] ?? []
  }

  /// The DISCONNECT with its properties.
  public var disconnect: DisconnectPacket {
    DisconnectPacket(
      sessionExpiryInterval: number(.sessionExpiryInterval, .disconnect),
      userProperties: encoded[.disconnect] ?? [])
  }

  /// The identifier of subscriptions; 0 for none.
  public var subscriptionIdentifier: UInt32 { number(.subscriptionIdentifier, .subscribe) ?? 0 }

  /// The encoded user properties of a place.
  public func userProperties(_ place: Place) -> [UInt8] { encoded[place] ?? [] }
}

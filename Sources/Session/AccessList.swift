import Packet
import PubSub
import Util

/// What a client may publish and subscribe to: the first rule that fits decides; what none fits is refused.
public struct AccessList: Sendable {
  /// A rule.
  public struct Rule: Sendable {
    /// Whether it is for publishing.
    public var publishes: Bool
    /// Whether it is for subscribing.
    public var subscribes: Bool
    /// The filter of the topics that it fits.
    public var filter: [UInt8]
    /// Whether what it fits is allowed.
    public var allows: Bool

    /// See the properties.
    public init(publishes: Bool, subscribes: Bool, filter: [UInt8], allows: Bool) {
      self.publishes = publishes
      self.subscribes = subscribes
      self.filter = filter
      self.allows = allows
    }
  }

  /// The rules, in the order in which they are looked at.
  public let rules: [Rule]

  /// See the properties. Filters are valid.
  public init(rules: [Rule]) { self.rules = rules }

  /// Whether a message with this topic may be published.
  public func mayPublish(_ topic: Span<UInt8>) -> Bool {
    for rule in rules where rule.publishes {
      if filterMatches(rule.filter.span, topic: topic) { return rule.allows }
    }
    return false
  }

  /// Whether a filter may be subscribed to, without its `$share` and group. A rule that allows has to cover all topics
  /// that the filter could match; one that refuses fits if there is any topic that both match.
  public func maySubscribe(_ filter: Span<UInt8>) -> Bool {
    for rule in rules where rule.subscribes {
      if rule.allows {
        if filterCovers(rule.filter.span, filter) { return true }
      } else if filtersOverlap(rule.filter.span, filter) {
        return false
      }
    }
    return false
  }
}

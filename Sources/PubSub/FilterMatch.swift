import Util

/// Whether a valid filter, not of a shared subscription, matches a topic [MQTT-4.7.1-2]
/// [MQTT-4.7.1-3] [MQTT-4.7.2-1]. For one question; many filters are asked through a `FilterIndex`.
public func filterMatches(_ filter: Span<UInt8>, topic: Span<UInt8>) -> Bool {
  var filterStart = 0
  var topicStart = 0
  while true {
    let filterEnd = filter.endOfLevel(from: filterStart)
    let level = filterStart..<filterEnd
    let isFirst = filterStart == 0
    if filterEnd == filter.count && filter.isLevel(level, TopicByte.multi) {
      return !(isFirst && topic.isSystemTopic)
    }
    let topicEnd = topic.endOfLevel(from: topicStart)
    if filter.isLevel(level, TopicByte.single) {
      if isFirst && topic.isSystemTopic { return false }
    } else if !filter.extracting(level).hasSameBytes(as: topic.extracting(topicStart..<topicEnd)) {
      return false
    }
    if topicEnd == topic.count {
      if filterEnd == filter.count { return true }
      // `#` stands for its parent too.
      let rest = filterEnd + 1..<filter.count
      return rest.count == 1 && filter.isLevel(rest, TopicByte.multi)
    }
    if filterEnd == filter.count { return false }
    filterStart = filterEnd + 1
    topicStart = topicEnd + 1
  }
}

extension Span where Element == UInt8 {
  /// The bytes with which each topic begins that a valid filter matches: the literal levels before the
  /// first wildcard, without the separator behind them.
  public var literalPrefix: Range<Int> {
    var start = 0
    while start <= count {
      let end = endOfLevel(from: start)
      if isLevel(start..<end, TopicByte.single) || isLevel(start..<end, TopicByte.multi) {
        return 0..<Swift.max(0, start - 1)
      }
      start = end + 1
    }
    return 0..<count
  }
}

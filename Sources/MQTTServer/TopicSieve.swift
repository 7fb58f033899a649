import PubSub
import Util

/// A few filters that each message's topic is held against.
///
/// Most topics differ from each filter in their first bytes, and that is seen first.
struct TopicSieve: Sendable {
  private struct Filter {
    let text: [UInt8]
    /// The first byte of the topics that it matches; nil where that may be any.
    let first: UInt8?
  }

  private let filters: [Filter]

  init(_ filters: [[UInt8]]) {
    self.filters = filters.map { text in
      let prefix = text.span.literalPrefix
      return Filter(text: text, first: prefix.isEmpty ? nil : text[0])
    }
  }

  /// Whether a filter matches a topic, which has at least one byte.
  func lets(_ topic: Span<UInt8>) -> Bool {
    for filter in filters {
      if let first = filter.first, topic[0] != first { continue }
      if filterMatches(filter.text.span, topic: topic) { return true }
    }
    return false
  }
}

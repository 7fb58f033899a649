import PubSub
import Util

/// What the store knows of filters without asking the database: all with wildcards that messages are
/// kept for, and those without that were asked for lately, whether they exist or not.
///
/// A parked session costs nothing here: a million filters without wildcards stay in the database.
final class FilterCache {
  /// What is known of a filter.
  struct Known: BitwiseCopyable {
    /// Its row; 0 where there is none.
    var id: UInt32 = 0
    /// Subscriptions that messages are kept for.
    var readers: UInt32 = 0
    var isWildcard = false
  }

  /// Filters without wildcards that are remembered: about 8 MiB. Then all of them are forgotten.
  static let maximumExact = 65_536

  private let seed: HashSeed
  private var index: FilterIndex
  private var known: [Known] = []
  private var exactCount = 0
  private var matched = MatchedFilters()

  init(seed: HashSeed) {
    self.seed = seed
    index = FilterCache.makeIndex(seed)
  }

  private static func makeIndex(_ seed: HashSeed) -> FilterIndex {
    FilterIndex(capacity: 1 << 22, seed: seed)
  }

  /// Forgets everything.
  func removeAll() {
    index = FilterCache.makeIndex(seed)
    known.removeAll()
    exactCount = 0
  }

  /// Whether the filter without wildcards is remembered.
  func hasExact(_ filter: Span<UInt8>) -> Bool { index.find(filter) != 0 }

  /// Remembers a filter, or what has changed of it.
  func set(_ filter: Span<UInt8>, _ value: Known) {
    var slot = index.find(filter)
    if slot == 0 {
      if !value.isWildcard {
        if exactCount >= FilterCache.maximumExact { forgetExact() }
        exactCount += 1
      } else if value.readers == 0 {
        return
      }
      slot = index.insert(filter)
      // Without room for it, what is not remembered is asked for.
      if slot == 0 { return }
    } else if value.isWildcard && value.readers == 0 {
      index.remove(slot)
      known[Int(slot)] = Known()
      return
    }
    while known.count <= Int(slot) { known.append(Known()) }
    known[Int(slot)] = value
  }

  private func forgetExact() {
    var kept: [(filter: [UInt8], value: Known)] = []
    for slot in 1..<UInt32(max(1, known.count)) where known[Int(slot)].isWildcard {
      kept.append((index.withText(of: slot) { $0.array }, known[Int(slot)]))
    }
    removeAll()
    for (filter, value) in kept { set(filter.span, value) }
  }

  /// Calls `body` with each filter that matches a topic and has readers. The topic itself must be
  /// remembered as a filter.
  func forEachMatch(_ topic: Span<UInt8>, _ body: (Known) -> Void) {
    matched.removeAll()
    index.match(topic, into: &matched)
    for place in 0..<matched.count {
      let value = known[Int(matched[place])]
      if value.readers > 0 { body(value) }
    }
  }
}

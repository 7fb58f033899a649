import Util

/// What is known of one filter. 28 bytes.
public struct FilterRecord: HashChained {
  /// How a filter is kept.
  struct Kind: OptionSet, BitwiseCopyable {
    let rawValue: UInt16
    /// In the trie, not in the hash table.
    static let wildcard = Kind(rawValue: 1)
    /// In the trie, ending in `#`.
    static let multi = Kind(rawValue: 2)
    /// `$share/...`: in the hash table, but matches no topic.
    static let share = Kind(rawValue: 4)
  }

  /// The low half of the filter's seeded hash; 0 for a filter in the trie.
  public internal(set) var hash: UInt32
  /// Written by the hash table; 0 ends the chain. A filter in the trie hangs in no chain, and has its
  /// node here.
  public var nextInBucket: UInt32
  var text: UInt32
  /// First and last subscription, oldest first; 0 when there is none.
  public internal(set) var firstSubscription: UInt32
  var lastSubscription: UInt32
  /// Number of subscriptions.
  public internal(set) var subscriptionCount: UInt32
  var kind: Kind
  var textCount: UInt16

  /// The trie node at which a filter with wildcards ends; it must be one.
  var node: UInt32 { nextInBucket }
}

/// One level of the filters with wildcards. A literal node is found through the hash of its parent
/// and its level, a `+` node through its parent; a `#` needs no node. 36 bytes.
struct TrieNode: HashChained {
  var hash: UInt32
  var nextInBucket: UInt32
  var parent: UInt32
  /// The level; 0 for the root and for `+`. An empty level is a text like any other.
  var text: UInt32
  var plusChild: UInt32
  var literalChildren: UInt32
  /// The filter that ends here, and the one that ends in a `#` below here.
  var filter: UInt32
  var multiFilter: UInt32
  var textCount: UInt16

  init(parent: UInt32, hash: UInt32 = 0, text: UInt32 = 0, textCount: Int = 0) {
    self.hash = hash
    self.parent = parent
    self.text = text
    self.textCount = UInt16(textCount)
    nextInBucket = 0
    plusChild = 0
    literalChildren = 0
    filter = 0
    multiFilter = 0
  }

  var isEmpty: Bool {
    plusChild == 0 && literalChildren == 0 && filter == 0 && multiFilter == 0
  }
}

/// A branch of the trie that a match has yet to walk.
struct PendingBranch: BitwiseCopyable {
  var node: UInt32
  var depth: Int32
}

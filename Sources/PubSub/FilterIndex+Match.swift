import Util

/// The filters that matched a topic, as slots of a `FilterIndex`.
public typealias MatchedFilters = ScratchArray<UInt32>

/// Which filters match a topic.
extension FilterIndex {
  /// Adds the filters that match `topic` to `hits`, each once, in no particular order.
  public func match(_ topic: Span<UInt8>, into hits: inout MatchedFilters) {
    match(topic, hash: topicHash(topic, seed: seed), into: &hits)
  }

  /// As `match(_:into:)`, where the caller has the topic's hash already.
  /// - Parameter hash: `topicHash(topic, seed: seed)`.
  public func match(_ topic: Span<UInt8>, hash: UInt32, into hits: inout MatchedFilters) {
    let slot = findExact(topic, hash: hash)
    // A client could name a topic like a shared subscription; it is delivered to nobody.
    if slot != 0 && !records[slot].kind.contains(.share) { hits.append(slot) }
    if !nodes[root].isEmpty { matchTrie(topic, into: &hits) }
  }

  /// Walks the trie along the topic: down the literal children, and later down each `+` child that
  /// was passed. At most one branch per level waits, so the work list is as long as the topic.
  private func matchTrie(_ topic: Span<UInt8>, into hits: inout MatchedFilters) {
    unsafe levels.split(topic, seed: seed)
    let levelCount = unsafe levels.count
    let isSystem = topic.isSystemTopic
    unsafe pending.append(PendingBranch(node: root, depth: 0))
    while let branch = unsafe pending.popLast() {
      var slot = branch.node
      var depth = Int(branch.depth)
      while true {
        let node = nodes[slot]
        // A filter that starts with a wildcard matches no topic that starts with `$`
        // [MQTT-4.7.2-1].
        let wildcardsCount = depth > 0 || !isSystem
        // `#` stands for its parent too, so it needs no further level [MQTT-4.7.1-2].
        if node.multiFilter != 0 && wildcardsCount { hits.append(node.multiFilter) }
        if depth == levelCount {
          if node.filter != 0 { hits.append(node.filter) }
          break
        }
        if node.plusChild != 0 && wildcardsCount {
          unsafe pending.append(PendingBranch(node: node.plusChild, depth: Int32(depth + 1)))
        }
        guard node.literalChildren != 0 else { break }
        let level = unsafe levels[depth]
        slot = literalChild(
          of: slot, level: topic.extracting(level.range), levelHash: level.hash)
        guard slot != 0 else { break }
        depth += 1
      }
    }
  }
}

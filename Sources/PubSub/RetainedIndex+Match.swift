import Util

/// Which retained messages match a filter.
extension RetainedIndex {
  /// Adds the messages whose topics match `filter` to `hits`, in no particular order.
  ///
  /// The walk needs no stack: a node knows its parent and its next sibling, and its depth says
  /// which level of the filter led to it. So a filter of 65,536 levels is as safe as one of two.
  /// - Parameters:
  ///   - limit: messages to find at most.
  ///   - visitLimit: nodes to look at at most, which bounds how long the caller holds its lock.
  public mutating func match(
    filter: Span<UInt8>, limit: Int = .max, visitLimit: Int = .max,
    into hits: inout ScratchArray<UInt64>
  ) -> MatchResult {
    levels.split(filter, seed: seed)
    var budget = Budget(hits: limit, visits: visitLimit)
    defer { lastVisits = visitLimit - max(0, budget.visits) }
    var node = root
    var depth = 0
    while true {
      // Downwards, as far as the filter leads.
      while true {
        guard budget.visit() else { return .visitLimit }
        if depth == levels.count {
          if let end = take(node, &budget, &hits) { return end }
          break
        }
        let level = levels[depth]
        if filter.isLevel(level.range, TopicByte.multi) && depth == levels.count - 1 {
          if let end = takeAll(node, &budget, &hits) { return end }
          break
        }
        let next =
          filter.isLevel(level.range, TopicByte.single)
          ? firstVisible(nodes[node].firstChild)
          : child(of: node, level: filter.extracting(level.range), levelHash: level.hash)
        if next == 0 { break }
        node = next
        depth += 1
      }
      // Upwards, to the nearest `+` with a sibling that was not seen.
      while true {
        if depth == 0 { return .complete }
        depth -= 1
        if filter.isLevel(levels[depth].range, TopicByte.single) {
          let sibling = firstVisible(nodes[node].nextSibling)
          if sibling != 0 {
            node = sibling
            depth += 1
            break
          }
        }
        node = nodes[node].parent
      }
    }
  }

  /// What a search may still do.
  private struct Budget {
    var hits: Int
    var visits: Int

    mutating func visit() -> Bool {
      visits -= 1
      return visits >= 0
    }
  }

  /// Takes what is retained at `node`; not nil when that ends the search.
  private func take(
    _ node: UInt32, _ budget: inout Budget, _ hits: inout ScratchArray<UInt64>
  ) -> MatchResult? {
    let handle = nodes[node].handle
    guard handle != 0 else { return nil }
    guard budget.hits > 0 else { return .hitLimit }
    budget.hits -= 1
    hits.append(handle)
    return nil
  }

  /// Takes all at and below `top`: `#` stands for its parent too [MQTT-4.7.1-2].
  private func takeAll(
    _ top: UInt32, _ budget: inout Budget, _ hits: inout ScratchArray<UInt64>
  ) -> MatchResult? {
    if let end = take(top, &budget, &hits) { return end }
    var node = top
    while true {
      var next = firstVisible(nodes[node].firstChild)
      while next == 0 {
        if node == top { return nil }
        next = firstVisible(nodes[node].nextSibling)
        node = nodes[node].parent
      }
      node = next
      guard budget.visit() else { return .visitLimit }
      if let end = take(node, &budget, &hits) { return end }
    }
  }

  /// `node`, or its next sibling that a wildcard may stand for: at the first level, those that do
  /// not start with `$` [MQTT-4.7.2-1].
  private func firstVisible(_ node: UInt32) -> UInt32 {
    var node = node
    while node != 0 && nodes[node].isSystem != 0 { node = nodes[node].nextSibling }
    return node
  }
}

import Util

/// Filters with wildcards: how they enter and leave the trie.
extension FilterIndex {
  /// Hash of the literal child of `parent` whose level has the hash `level`.
  func childHash(_ parent: UInt32, _ level: UInt32) -> UInt32 {
    let key = UInt64(parent) << 32 | UInt64(level)
    // The level's hash is already keyed with the secret seed; the constant only spreads parents.
    return UInt32(truncatingIfNeeded: mix(key, 0x9E37_79B9_7F4A_7C15))
  }

  /// The literal child of `parent`; 0 when there is none.
  func literalChild(of parent: UInt32, level: Span<UInt8>, levelHash: UInt32) -> UInt32 {
    let hash = childHash(parent, levelHash)
    var slot = children.first(hash)
    while slot != 0 {
      let node = nodes[slot]
      if node.hash == hash && node.parent == parent
        && texts.stored(node.text, count: node.textCount, equals: level)
      {
        return slot
      }
      slot = node.nextInBucket
    }
    return 0
  }

  func findWildcard(_ filter: Span<UInt8>) -> UInt32 {
    unsafe levels.split(filter, seed: seed)
    var node = root
    let lastLevel = unsafe levels.count - 1
    for index in 0...lastLevel {
      let level = unsafe levels[index]
      if filter.isLevel(level.range, TopicByte.multi) && index == lastLevel {
        return nodes[node].multiFilter
      }
      if filter.isLevel(level.range, TopicByte.single) {
        node = nodes[node].plusChild
      } else {
        node = literalChild(
          of: node, level: filter.extracting(level.range), levelHash: level.hash)
      }
      if node == 0 { return 0 }
    }
    return nodes[node].filter
  }

  func insertWildcard(_ filter: Span<UInt8>) -> UInt32 {
    unsafe levels.split(filter, seed: seed)
    var node = root
    var isMulti = false
    let lastLevel = unsafe levels.count - 1
    for index in 0...lastLevel {
      let level = unsafe levels[index]
      if filter.isLevel(level.range, TopicByte.multi) && index == lastLevel {
        isMulti = true
        break
      }
      let child =
        filter.isLevel(level.range, TopicByte.single)
        ? plusChild(of: node) : ensureLiteralChild(of: node, filter, level)
      if child == 0 {
        removeEmptyNodes(from: node)
        return 0
      }
      node = child
    }
    let found = isMulti ? nodes[node].multiFilter : nodes[node].filter
    if found != 0 { return found }
    let kind: FilterRecord.Kind = isMulti ? [.wildcard, .multi] : .wildcard
    let slot = addRecord(filter, hash: 0, node: node, kind: kind)
    if slot == 0 {
      removeEmptyNodes(from: node)
    } else if isMulti {
      nodes[node].multiFilter = slot
    } else {
      nodes[node].filter = slot
    }
    return slot
  }

  func removeFromTrie(_ record: FilterRecord) {
    if record.kind.contains(.multi) {
      nodes[record.node].multiFilter = 0
    } else {
      nodes[record.node].filter = 0
    }
    removeEmptyNodes(from: record.node)
  }

  /// The `+` child of `parent`, added if need be; 0 when there is no room.
  private func plusChild(of parent: UInt32) -> UInt32 {
    if nodes[parent].plusChild != 0 { return nodes[parent].plusChild }
    guard let slot = nodes.insert(TrieNode(parent: parent)) else { return 0 }
    nodes[parent].plusChild = slot
    return slot
  }

  /// A literal child of `parent`, added if need be; 0 when there is no room.
  private func ensureLiteralChild(
    of parent: UInt32, _ filter: Span<UInt8>, _ level: LevelReference
  ) -> UInt32 {
    let bytes = filter.extracting(level.range)
    let found = literalChild(of: parent, level: bytes, levelHash: level.hash)
    if found != 0 { return found }
    guard let text = texts.store(bytes) else { return 0 }
    let node = TrieNode(
      parent: parent, hash: childHash(parent, level.hash), text: text, textCount: bytes.count)
    guard let slot = nodes.insert(node) else {
      texts.free(text)
      return 0
    }
    children.insert(slot, in: nodes)
    nodes[parent].literalChildren += 1
    return slot
  }

  /// Removes `start` and its ancestors as far as nothing ends in or below them.
  private func removeEmptyNodes(from start: UInt32) {
    var slot = start
    while slot != root && nodes[slot].isEmpty {
      let node = nodes[slot]
      if node.text == 0 {
        nodes[node.parent].plusChild = 0
      } else {
        children.remove(slot, in: nodes)
        nodes[node.parent].literalChildren -= 1
        texts.free(node.text)
      }
      nodes.remove(slot)
      slot = node.parent
    }
  }
}

import Util

/// Whether every topic that `inner` matches is matched by `outer` too. Both are valid filters, and neither is of a
/// shared subscription.
public func filterCovers(_ outer: Span<UInt8>, _ inner: Span<UInt8>) -> Bool {
  var outerStart = 0
  var innerStart = 0
  while true {
    let outerLevel = outerStart..<outer.endOfLevel(from: outerStart)
    let innerLevel = innerStart..<inner.endOfLevel(from: innerStart)
    let isSystem = outerStart == 0 && inner.isSystemTopic
    if outer.isLevel(outerLevel, TopicByte.multi) { return !isSystem }
    if inner.isLevel(innerLevel, TopicByte.multi) {
      // Every topic has a first level; none that follows can be missing in what `outer` matches.
      return innerStart == 0 && outer.isLevel(outerLevel, TopicByte.single)
        && outer.isParentOfAll(after: outerLevel.upperBound)
    }
    if outer.isLevel(outerLevel, TopicByte.single) {
      if isSystem { return false }
    } else if !outer.extracting(outerLevel).hasSameBytes(as: inner.extracting(innerLevel)) {
      return false
    }
    if innerLevel.upperBound == inner.count {
      return outerLevel.upperBound == outer.count
        || outer.isParentOfAll(after: outerLevel.upperBound)
    }
    if outerLevel.upperBound == outer.count { return false }
    outerStart = outerLevel.upperBound + 1
    innerStart = innerLevel.upperBound + 1
  }
}

/// Whether there can be a topic that both filters match. Both are valid, and neither is of a shared subscription.
public func filtersOverlap(_ one: Span<UInt8>, _ other: Span<UInt8>) -> Bool {
  var oneStart = 0
  var otherStart = 0
  while true {
    let oneLevel = oneStart..<one.endOfLevel(from: oneStart)
    let otherLevel = otherStart..<other.endOfLevel(from: otherStart)
    let isOneWild = one.isWildcard(oneLevel)
    let isOtherWild = other.isWildcard(otherLevel)
    if oneStart == 0 {
      // Wildcards in the first level match no topic that begins with "$".
      if isOneWild && other.isSystemTopic || isOtherWild && one.isSystemTopic { return false }
    }
    if one.isLevel(oneLevel, TopicByte.multi) || other.isLevel(otherLevel, TopicByte.multi) {
      return true
    }
    if !isOneWild && !isOtherWild
      && !one.extracting(oneLevel).hasSameBytes(as: other.extracting(otherLevel))
    {
      return false
    }
    let isOneDone = oneLevel.upperBound == one.count
    let isOtherDone = otherLevel.upperBound == other.count
    if isOneDone || isOtherDone {
      return isOneDone && isOtherDone
        || !isOneDone && one.isParentOfAll(after: oneLevel.upperBound)
        || !isOtherDone && other.isParentOfAll(after: otherLevel.upperBound)
    }
    oneStart = oneLevel.upperBound + 1
    otherStart = otherLevel.upperBound + 1
  }
}

extension Span where Element == UInt8 {
  fileprivate func isWildcard(_ level: Range<Int>) -> Bool {
    isLevel(level, TopicByte.single) || isLevel(level, TopicByte.multi)
  }

  /// Whether what stands behind the end of a level is `#` alone, which stands for the level too.
  fileprivate func isParentOfAll(after end: Int) -> Bool {
    let rest = Swift.min(end + 1, count)..<count
    return rest.count == 1 && isLevel(rest, TopicByte.multi)
  }
}

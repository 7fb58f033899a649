import Testing

@testable import StoreSQLite

extension FilterCache {
  fileprivate func set(
    _ filter: String, id: UInt32, readers: UInt32, isWildcard: Bool = false
  ) {
    set(filter.bytes.span, Known(id: id, readers: readers, isWildcard: isWildcard))
  }

  /// The filters that match a topic, which is remembered first, as the engine does it.
  fileprivate func matching(_ topic: String) -> [UInt32] {
    let bytes = topic.bytes
    if !hasExact(bytes.span) { set(bytes.span, Known()) }
    var found: [UInt32] = []
    forEachMatch(bytes.span) { found.append($0.id) }
    return found.sorted()
  }
}

@Suite struct FilterCacheTests {
  @Test func findsFiltersWithReaders() {
    let cache = FilterCache(seed: testSeed)
    cache.set("a/b", id: 1, readers: 2)
    cache.set("a/+", id: 2, readers: 1, isWildcard: true)
    cache.set("#", id: 3, readers: 0, isWildcard: true)
    cache.set("$share/group/a/+", id: 4, readers: 0)
    #expect(cache.matching("a/b") == [1, 2] && cache.matching("a/c") == [2])
    #expect(cache.matching("$share/group/a/+") == [])
    cache.set("a/b", id: 1, readers: 0)
    cache.set("#", id: 3, readers: 1, isWildcard: true)
    #expect(cache.matching("a/b") == [2, 3] && cache.matching("$s") == [])
    cache.set("a/+", id: 2, readers: 0, isWildcard: true)
    #expect(cache.matching("a/b") == [3])
    cache.removeAll()
    #expect(cache.matching("a/b") == [])
  }

  /// Exact filters are forgotten together, once there are too many; those with wildcards stay, and
  /// those that were taken away don't come back.
  @Test func forgetsExactFiltersOnly() {
    let cache = FilterCache(seed: testSeed)
    cache.set("kept/exact", id: 1, readers: 1)
    cache.set("kept/+", id: 2, readers: 1, isWildcard: true)
    for number in 1..<FilterCache.maximumExact {
      cache.set("\(number)", id: UInt32(1000 + number), readers: 1)
    }
    #expect(cache.matching("1") == [1001] && cache.matching("kept/exact") == [1, 2])
    // Some slots are free now, and the memory of their texts is used by others.
    let numbers = 100..<200 as Range<UInt32>
    for number in numbers { cache.set("o\(number)/+", id: number, readers: 1, isWildcard: true) }
    for number in numbers { cache.set("o\(number)/+", id: number, readers: 0, isWildcard: true) }
    let others = 200..<250 as Range<UInt32>
    for number in others { cache.set("n\(number)/+", id: number, readers: 1, isWildcard: true) }
    cache.set("last", id: 9, readers: 1)
    let isRemembered = cache.hasExact("kept/exact".bytes.span)
    #expect(!isRemembered)
    #expect(cache.matching("kept/exact") == [2] && cache.matching("last") == [9])
    for number in numbers { #expect(cache.matching("o\(number)/x") == []) }
    for number in others { #expect(cache.matching("n\(number)/x") == [number]) }
  }
}

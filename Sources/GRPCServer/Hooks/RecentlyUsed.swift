/// A table that is bounded in number and in bytes, and forgets what was not used for the longest time.
struct RecentlyUsed<Key: Hashable, Value> {
  private struct Entry {
    var key: Key
    var value: Value
    var bytes: Int
    /// Neighbours in the order of use; -1 where there is none.
    var older: Int
    var newer: Int
  }

  private let maximumCount: Int
  private let maximumBytes: Int
  private var places: [Key: Int] = [:]
  private var entries: [Entry?] = []
  private var free: [Int] = []
  private var oldest = -1
  private var newest = -1
  private var bytes = 0

  init(maximumCount: Int, maximumBytes: Int) {
    self.maximumCount = maximumCount
    self.maximumBytes = maximumBytes
  }

  var count: Int { places.count }

  /// The value of a key, which counts as used.
  mutating func value(_ key: Key) -> Value? {
    guard let place = places[key] else { return nil }
    unlink(place)
    link(place)
    return entries[place]?.value
  }

  /// Sets the value of a key, and makes room for it. One that is larger than the table is not kept.
  mutating func set(_ key: Key, _ value: Value, bytes size: Int) {
    remove(key)
    guard size <= maximumBytes else { return }
    while oldest >= 0, count >= maximumCount || bytes + size > maximumBytes {
      if let entry = entries[oldest] { remove(entry.key) }
    }
    let entry = Entry(key: key, value: value, bytes: size, older: -1, newer: -1)
    let place: Int
    if let last = free.popLast() {
      place = last
      entries[place] = entry
    } else {
      place = entries.count
      entries.append(entry)
    }
    places[key] = place
    bytes += size
    link(place)
  }

  /// Forgets a key.
  mutating func remove(_ key: Key) {
    guard let place = places.removeValue(forKey: key) else { return }
    unlink(place)
    bytes -= entries[place]?.bytes ?? 0
    entries[place] = nil
    free.append(place)
  }

  private mutating func link(_ place: Int) {
    entries[place]?.older = newest
    entries[place]?.newer = -1
    if newest >= 0 { entries[newest]?.newer = place } else { oldest = place }
    newest = place
  }

  private mutating func unlink(_ place: Int) {
    guard let entry = entries[place] else { return }
    if entry.older >= 0 { entries[entry.older]?.newer = entry.newer } else { oldest = entry.newer }
    if entry.newer >= 0 { entries[entry.newer]?.older = entry.older } else { newest = entry.older }
  }
}

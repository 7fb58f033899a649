import Util

import Synchronization

/// What an interest index knows beside its lines; only under its lock.
struct InterestBook {
  /// Entries in lines, those without room included.
  var entryCount = 0
  /// The most lines that were in use since memory last went back.
  var touchedLines = InterestIndex.minimumLines
  /// The entries that their line, the key, has no room for.
  var spilled: [Int: [UInt32]] = [:]
  /// How many entries need the shape at each place.
  var shapeCounts = [Int](repeating: 0, count: InterestIndex.maximumShapes)
  /// Filters without a shape, counted, and how many of them each loop has.
  var always: [AlwaysKey: Int] = [:]
  var alwaysCounts = [Int](repeating: 0, count: Limits.loops)
}

/// A filter of a loop that is not looked up but matches always.
struct AlwaysKey: Hashable {
  var key: InterestKey
  var loop: Int
}

/// How filters enter and leave the index.
extension InterestIndex {
  /// Tells all loops that `loop` has a filter. To be called once for each filter of a loop.
  public func add(_ key: InterestKey, loop: Int) {
    precondition(loop >= 0 && loop < Limits.loops, "no such loop")
    book.withLock { book in
      guard let place = shapePlace(for: key.shape, in: book) else {
        book.always[AlwaysKey(key: key, loop: loop), default: 0] += 1
        book.alwaysCounts[loop] += 1
        let bits = alwaysLoops.load(ordering: .relaxed)
        alwaysLoops.store(bits | 1 << UInt64(loop), ordering: .releasing)
        return
      }
      insert(InterestIndex.normalised(key.hash), loop: loop, &book)
      if key.shape != .exact {
        book.shapeCounts[place] += 1
        shapes.store(place, UInt64(key.shape.bits))
        if place >= shapeLimit.load(ordering: .relaxed) {
          shapeLimit.store(place + 1, ordering: .releasing)
        }
      }
    }
  }

  /// Takes back one `add` of the same key and loop.
  public func remove(_ key: InterestKey, loop: Int) {
    precondition(loop >= 0 && loop < Limits.loops, "no such loop")
    book.withLock { book in
      // Two filters with one key are the same to the index, so it does not matter if this takes
      // the one that always matches for the other that has a shape.
      let always = AlwaysKey(key: key, loop: loop)
      if let count = book.always[always] {
        book.always[always] = count > 1 ? count - 1 : nil
        book.alwaysCounts[loop] -= 1
        if book.alwaysCounts[loop] == 0 {
          let bits = alwaysLoops.load(ordering: .relaxed)
          alwaysLoops.store(bits & ~(1 << UInt64(loop)), ordering: .releasing)
        }
        return
      }
      erase(InterestIndex.normalised(key.hash), loop: loop, &book)
      guard key.shape != .exact, let place = shapePlace(for: key.shape, in: book) else { return }
      precondition(book.shapeCounts[place] > 0, "removed what was not added")
      book.shapeCounts[place] -= 1
      if book.shapeCounts[place] > 0 { return }
      shapes.store(place, 0)
      var limit = shapeLimit.load(ordering: .relaxed)
      while limit > 0 && book.shapeCounts[limit - 1] == 0 { limit -= 1 }
      shapeLimit.store(limit, ordering: .releasing)
    }
  }

  /// The place of a shape, or a free one for it; nil when it can't be kept.
  private func shapePlace(for shape: FilterShape, in book: InterestBook) -> Int? {
    if shape == .exact { return 0 }
    if shape == .tooDeep { return nil }
    var free: Int?
    for place in 0..<InterestIndex.maximumShapes {
      if book.shapeCounts[place] == 0 {
        if free == nil { free = place }
      } else if shapes.load(place) == UInt64(shape.bits) {
        return place
      }
    }
    return free
  }

  private var lineCount: Int {
    Int(truncatingIfNeeded: state.load(ordering: .relaxed) & 0xFFFF_FFFF)
  }

  private func insert(_ hash: UInt32, loop: Int, _ book: inout InterestBook) {
    let line = InterestIndex.line(of: hash, lineCount: lineCount)
    put(hash & ~63 | UInt32(loop), in: line, &book)
    book.entryCount += 1
    if book.entryCount > lineCount * InterestIndex.splitLoad && lineCount < maximumLines {
      split(&book)
    }
  }

  private func erase(_ hash: UInt32, loop: Int, _ book: inout InterestBook) {
    let line = InterestIndex.line(of: hash, lineCount: lineCount)
    let entry = hash & ~63 | UInt32(loop)
    if let place = place(of: entry, in: line) {
      setEntry(0, at: place)
      unspill(line, &book)
    } else {
      guard let index = book.spilled[line]?.firstIndex(of: entry) else {
        preconditionFailure("removed what was not added")
      }
      book.spilled[line]?.remove(at: index)
      storeSpillSet(line, &book)
    }
    book.entryCount -= 1
    if book.entryCount < lineCount * InterestIndex.mergeLoad
      && lineCount > InterestIndex.minimumLines
    {
      merge(&book)
    }
  }

  /// Adds a line and moves there what belongs to it from the line that stood in for it.
  private func split(_ book: inout InterestBook) {
    let new = lineCount
    let mask = InterestIndex.lineMask(new + 1)
    let old = new & (mask >> 1)
    let lowBits = UInt32(old & 63)
    func moves(_ entry: UInt32) -> Bool { Int(entry & ~63 | lowBits) & mask == new }
    for place in places(of: old) {
      let entry = self.entry(at: place)
      if entry != 0 && moves(entry) { put(entry, in: new, &book) }
    }
    for entry in book.spilled[old] ?? [] where moves(entry) { put(entry, in: new, &book) }
    publish(lineCount: new + 1)
    book.touchedLines = max(book.touchedLines, new + 1)
    for place in places(of: old) {
      let entry = self.entry(at: place)
      if entry != 0 && moves(entry) { setEntry(0, at: place) }
    }
    if book.spilled[old] != nil {
      book.spilled[old]?.removeAll(where: moves)
      unspill(old, &book)
    }
  }

  /// Folds the last line into the one that stands in for it.
  private func merge(_ book: inout InterestBook) {
    let last = lineCount - 1
    let into = last & (InterestIndex.lineMask(lineCount) >> 1)
    for place in places(of: last) {
      let entry = self.entry(at: place)
      if entry != 0 { put(entry, in: into, &book) }
    }
    for entry in book.spilled[last] ?? [] { put(entry, in: into, &book) }
    publish(lineCount: last)
    book.spilled[last] = nil
    let first = last * InterestIndex.wordsPerLine
    for word in first..<first + InterestIndex.wordsPerLine { lines.store(word, 0) }
    if InterestIndex.lineMask(last) == last - 1 {
      lines.giveBack(from: first)
      book.touchedLines = last
    }
  }

  /// Tells readers the number of lines. What is stored afterwards is seen by no reader that does
  /// not see the new state too.
  private func publish(lineCount: Int) {
    let version = (state.load(ordering: .relaxed) >> 32) &+ 1
    state.store(version << 32 | UInt64(lineCount), ordering: .releasing)
    atomicMemoryFence(ordering: .releasing)
  }
}

/// Lines: a set of loops in the first word, and 14 places for entries in the others.
extension InterestIndex {
  /// The places of a line, counted over all lines in halves of words.
  private func places(of line: Int) -> Range<Int> {
    let first = line * InterestIndex.wordsPerLine * 2
    return first + 2..<first + InterestIndex.wordsPerLine * 2
  }

  private func entry(at place: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: lines.load(place / 2) >> UInt64(place % 2 * 32))
  }

  // Load and store instead of one atomic step: only the owner of the lock writes.
  private func setEntry(_ entry: UInt32, at place: Int) {
    let shift = UInt64(place % 2 * 32)
    let others = lines.load(place / 2) & ~(0xFFFF_FFFF << shift)
    lines.store(place / 2, others | UInt64(entry) << shift)
  }

  private func place(of entry: UInt32, in line: Int) -> Int? {
    for place in places(of: line) where self.entry(at: place) == entry { return place }
    return nil
  }

  private func put(_ entry: UInt32, in line: Int, _ book: inout InterestBook) {
    if let place = place(of: 0, in: line) {
      setEntry(entry, at: place)
    } else {
      book.spilled[line, default: []].append(entry)
      storeSpillSet(line, &book)
    }
  }

  /// Moves entries that had no room into the places that are free now.
  private func unspill(_ line: Int, _ book: inout InterestBook) {
    guard book.spilled[line] != nil else { return }
    while let place = place(of: 0, in: line), let entry = book.spilled[line]?.popLast() {
      setEntry(entry, at: place)
    }
    storeSpillSet(line, &book)
  }

  private func storeSpillSet(_ line: Int, _ book: inout InterestBook) {
    var loops: UInt64 = 0
    for entry in book.spilled[line] ?? [] { loops |= 1 << UInt64(entry & 63) }
    if loops == 0 { book.spilled[line] = nil }
    lines.store(line * InterestIndex.wordsPerLine, loops)
  }
}

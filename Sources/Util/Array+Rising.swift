/// Arrays whose elements rise, each there once: small sets that are read in order.
extension Array where Element: Comparable {
  /// The place of the first element that is not below `element`.
  private func risingPlace(of element: Element) -> Int {
    // What is added is mostly the highest.
    if let last, last < element { return count }
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if self[middle] < element { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Adds an element in its place. False where it is there already.
  @discardableResult
  public mutating func insertRising(_ element: Element) -> Bool {
    let place = risingPlace(of: element)
    guard place == count || self[place] != element else { return false }
    insert(element, at: place)
    return true
  }

  /// Takes an element away. False where it is not there.
  @discardableResult
  public mutating func removeRising(_ element: Element) -> Bool {
    let place = risingPlace(of: element)
    guard place < count, self[place] == element else { return false }
    remove(at: place)
    return true
  }
}

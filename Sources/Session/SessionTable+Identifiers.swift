import Util

/// Subscription identifiers of a delivery: one lies in the record, more in a block.
extension SessionTable {
  /// Keeps identifiers; nil when there is no memory, or there are more than 1,279 of them.
  public func keepIdentifiers(_ identifiers: Span<UInt32>) -> UInt32? {
    if identifiers.count == 0 { return 0 }
    if identifiers.count == 1 { return identifiers[0] }
    guard let block = blocks.allocate(4 + 4 * identifiers.count) else { return nil }
    // The handle of a larger block uses the bit that says "list".
    guard block & Delivery.isList == 0 else {
      blocks.free(block)
      return nil
    }
    let address = unsafe blocks.address(of: block)
    unsafe address.storeBytes(of: UInt32(identifiers.count), as: UInt32.self)
    for index in identifiers.indices {
      unsafe address.storeBytes(
        of: identifiers[index], toByteOffset: 4 + 4 * index, as: UInt32.self)
    }
    return block | Delivery.isList
  }

  /// Adds kept identifiers to `list`.
  public func readIdentifiers(_ kept: UInt32, into list: inout [UInt32]) {
    if kept == 0 { return }
    guard kept & Delivery.isList != 0 else {
      list.append(kept)
      return
    }
    let address = unsafe blocks.address(of: kept & ~Delivery.isList)
    let count = unsafe Int(address.load(as: UInt32.self))
    for index in 0..<count {
      list.append(unsafe address.load(fromByteOffset: 4 + 4 * index, as: UInt32.self))
    }
  }

  /// Gives kept identifiers up.
  public func freeIdentifiers(_ kept: UInt32) {
    if kept & Delivery.isList != 0 { blocks.free(kept & ~Delivery.isList) }
  }
}

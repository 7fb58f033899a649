import Synchronization

/// The deliveries of a stream that are not acknowledged: as many as its window at most.
final class Outstanding: Sendable {
  private let state = Mutex<(next: UInt64, packets: [UInt64: UInt16])>((1, [:]))

  /// A number for a message with a packet identifier; 0 for one that needs no acknowledgement.
  func number(_ packetID: UInt16) -> UInt64 {
    if packetID == 0 { return 0 }
    return state.withLock { state in
      let number = state.next
      state.next += 1
      state.packets[number] = packetID
      return number
    }
  }

  /// The packet identifiers of deliveries, which are acknowledged with that.
  func acknowledge(_ numbers: [UInt64]) throws(Refusal) -> [UInt16] {
    let (packets, unknown) = state.withLock { state -> ([UInt16], UInt64?) in
      var packets: [UInt16] = []
      for number in numbers {
        guard let packet = state.packets.removeValue(forKey: number) else {
          return (packets, number)
        }
        packets.append(packet)
      }
      return (packets, nil)
    }
    if let unknown {
      throw .field("acknowledge.ids", "\(unknown) is not one that waits to be acknowledged")
    }
    return packets
  }
}

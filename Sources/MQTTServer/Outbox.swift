import Session
import Util

/// Publishes for other loops: gathered over a turn, posted at its end.
extension Worker {
  /// Adds a message for each loop in the set.
  func forward(_ message: borrowing MessageView, _ topicHash: UInt32, to loops: UInt64) {
    var left = loops
    while left != 0 {
      let target = left.trailingZeroBitCount
      left &= left - 1
      append(PublishEnvelope(topicHash: topicHash), message, to: target)
    }
  }

  /// Adds one publish for one loop.
  func append(_ envelope: PublishEnvelope, _ message: borrowing MessageView, to target: Int) {
    if outboxesInUse & 1 << UInt64(target) == 0 {
      outboxes[target] = broker.takeBatch()
      // Once in a turn: what other loops do to this one meanwhile shows in the next.
      if outboxesInUse == 0 { isPressed = broker.isPressed }
      outboxesInUse |= 1 << UInt64(target)
    }
    counters.publishesForwarded += 1
    guard let batch = outboxes[target] else { return }
    // The home of a shared subscription has counted its member.
    if let receiptPart, envelope.member == nil {
      receiptPart.receipt.join()
      batch.append(envelope, message, receiptPart)
    } else {
      batch.append(envelope, message, nil)
    }
    if batch.count - batch.announced >= Limits.announcedBytes { announce(batch, to: target) }
    // A full one goes at once: the receiver has work, and nothing is copied to make it larger.
    if batch.count >= Limits.batchBytes { postOutbox(target) }
  }

  /// Tells the receiver's pressure of what a batch holds, a piece at a time: telling it of each
  /// message would have all loops write to one cache line.
  private func announce(_ batch: PublishBatch, to target: Int) {
    broker.pressures[target].add(batch.count - batch.announced)
    batch.announced = batch.count
    if broker.pressures[target].isHigh { isPressed = true }
  }

  /// Posts what was gathered for one loop, so that a letter that follows comes after it.
  func postOutbox(_ target: Int) {
    guard let batch = outboxes[target] else { return }
    if outboxesAfterStore >> UInt64(target) & 1 != 0 {
      // At the end of a turn, when most are posted, there is nothing left to be submitted.
      outboxesAfterStore &= ~(1 << UInt64(target))
      submitToStore()
    }
    announce(batch, to: target)
    outboxes[target] = nil
    outboxesInUse &= ~(1 << UInt64(target))
    broker.mailboxes[target].post(.publishes(batch))
  }

  /// Posts all that was gathered.
  func postOutboxes() {
    while outboxesInUse != 0 { postOutbox(outboxesInUse.trailingZeroBitCount) }
  }

  /// Posts a letter behind the publishes that are on their way to the same loop.
  func post(_ letter: Letter, to target: Int) {
    postOutbox(target)
    broker.mailboxes[target].post(letter)
  }

  /// Stops reading a publisher until the loop that it publishes to has caught up.
  func holdForPressure(_ slot: UInt32) {
    guard slot != 0, loop.connections[slot].traits & Hold.pressure.rawValue == 0 else { return }
    hold(slot, .pressure)
    pressed.append((slot, loop.connections[slot].generation))
  }
}

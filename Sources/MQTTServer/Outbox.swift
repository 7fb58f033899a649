import Session

/// Publishes for other loops: gathered over a turn, posted at its end.
extension Worker {
  /// Adds a message for each loop in the set.
  func forward(_ message: borrowing MessageView, to loops: UInt64) {
    var left = loops
    while left != 0 {
      let target = left.trailingZeroBitCount
      left &= left - 1
      append(PublishEnvelope(message), message, to: target)
    }
  }

  /// Adds one publish for one loop.
  func append(_ envelope: PublishEnvelope, _ message: borrowing MessageView, to target: Int) {
    let batch: PublishBatch
    if let open = outboxes[target] {
      batch = open
    } else {
      batch = broker.takeBatch()
      outboxes[target] = batch
      outboxesInUse |= 1 << UInt64(target)
    }
    counters.publishesForwarded += 1
    let before = batch.count
    batch.append(envelope, message)
    broker.pressures[target].add(batch.count - before)
  }

  /// Posts what was gathered for one loop, so that a letter that follows comes after it.
  func postOutbox(_ target: Int) {
    guard let batch = outboxes[target] else { return }
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

extension PublishEnvelope {
  /// The envelope of a publish to whoever subscribes.
  init(_ message: borrowing MessageView) {
    self.init(
      facts: message.facts, topicCount: UInt32(message.topic.count),
      propertiesCount: UInt32(message.properties.count),
      payloadCount: UInt32(message.payload.count))
  }
}

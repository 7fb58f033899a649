import CLinux
import Net
import Session
import Util

/// What a loop does for its memory's sake, after the work of a turn.
extension Worker {
  /// In the first turn of each tick, shows what the memory is used for; once a second, gives back
  /// what is kept for a busy time. Gives the tick at which to be called again; nil where nothing
  /// remains to be done, so that a loop whose clients are quiet sleeps.
  func keepHouse() -> UInt32? {
    let now = loop.now
    // What this turn did is shown in the next tick.
    guard housekeptAt != now else { return now + 1 }
    housekeptAt = now
    if now >= trimDue {
      if trimDue != 0 {
        loop.trim()
        sessions.trim()
        subscriptions.trim()
        broker.trimShared(now: now)
      }
      let hasSpare =
        loop.hasSpare || sessions.hasSpare || subscriptions.hasSpare || broker.hasSpare
      trimDue = hasSpare ? now + Limits.trimTicks : 0
    }
    showMemory()
    return trimDue == 0 ? nil : trimDue
  }

  /// Shows this loop's part of the ledger.
  func showMemory() {
    var ledger = MemoryLedger()
    let memory = loop.memory
    ledger.add(memory.connections, to: \.connections)
    ledger.add(memory.outputs, to: \.writeQueues)
    ledger.add(memory.blocks, to: \.writeQueues)
    ledger.writeQueues -= memory.remainderBytes
    ledger.readRemainders = memory.remainderBytes
    ledger.buffers = memory.scratchBytes
    ledger.add(sessions.memory, to: \.sessions)
    ledger.add(sessions.inFlightMemory, to: \.inFlight)
    ledger.add(subscriptions.filters.memory, to: \.filters)
    ledger.add(subscriptions.memory, to: \.subscriptions)
    broker.ledgers[number].show(ledger)
  }
}

extension Broker {
  /// The ledger of the whole broker. What a loop did within the present tick of 125 ms may not be in
  /// it yet.
  func readLedger() -> MemoryLedger {
    var sum = MemoryLedger()
    for board in ledgers { sum.add(board.ledger) }
    let (ids, entries) = directory.memory
    sum.add(ids, to: \.clientIDs)
    sum.add(entries, to: \.directory)
    sum.add(retained.memory, to: \.retained)
    sum.interest = interest?.residentBytes ?? 0
    sum.betweenLoops = batchAccount.bytes
    // Batches and pages of the store are blocks of the allocator too.
    var counted = sum.betweenLoops
    if let statistics = durable?.statistics {
      counted += Int(statistics.heapBytes)
      sum.store =
        Int(statistics.heapBytes) + Int(statistics.indexBytes) + (readers?.residentBytes ?? 0)
    }
    sum.heap = max(0, Int(clinux_heap_bytes()) - counted)
    // The program's own pages come when they are first used, and the system counts those.
    let files = Int(ProcessFacts.own.memory?.files ?? 0)
    sum.program = startedPrivate.load(ordering: .relaxed) + files
    return sum
  }

  /// Notes what the process has before its first client.
  func noteStart() {
    var ledger = readLedger()
    ledger.program = 0
    let (resident, files) = ProcessFacts.own.memory ?? (0, 0)
    startedResident.store(Int(resident), ordering: .relaxed)
    startedPrivate.store(Int(resident) - Int(files) - ledger.total, ordering: .relaxed)
  }
}

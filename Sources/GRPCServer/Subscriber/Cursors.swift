import Synchronization

/// Which cursors are read, and by how many streams; and whose turn it is to change one.
final class Cursors: Sendable {
  private struct Entry {
    var readers = 0
    var isChanging = false
    /// Those who wait until it is not changed any more, in their order.
    var waiting: [Bell] = []
  }

  private let entries = Mutex<[String: Entry]>([:])

  /// Does something with a cursor while nobody else changes it.
  func change<Value>(_ name: String, _ body: () async throws -> Value) async throws -> Value {
    while true {
      let bell = entries.withLock { entries -> Bell? in
        guard entries[name, default: Entry()].isChanging else {
          entries[name, default: Entry()].isChanging = true
          return nil
        }
        let bell = Bell()
        entries[name]?.waiting.append(bell)
        return bell
      }
      guard let bell else { break }
      do { try await bell.wait() } catch {
        // It may have been its turn already.
        wakeNext(name)
        throw error
      }
    }
    defer {
      entries.withLock { $0[name]?.isChanging = false }
      wakeNext(name)
    }
    return try await body()
  }

  private func wakeNext(_ name: String) {
    let bell = entries.withLock { entries -> Bell? in
      guard let entry = entries[name], !entry.isChanging else { return nil }
      guard entry.waiting.isEmpty else { return entries[name]?.waiting.removeFirst() }
      if entry.readers == 0 { entries[name] = nil }
      return nil
    }
    bell?.ring()
  }

  /// One more stream reads a cursor.
  func enter(_ name: String) { entries.withLock { $0[name, default: Entry()].readers += 1 } }

  /// A stream reads it no more.
  func leave(_ name: String) {
    entries.withLock { $0[name]?.readers -= 1 }
    wakeNext(name)
  }

  /// Whether a stream reads a cursor.
  func isRead(_ name: String) -> Bool { entries.withLock { ($0[name]?.readers ?? 0) > 0 } }
}

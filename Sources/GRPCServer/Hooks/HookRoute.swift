import Synchronization

/// The endpoints of one hook, each in turn.
final class HookRoute: Sendable {
  let backends: [HookBackend]
  private let turn = Atomic<Int>(0)

  init(_ backends: [HookBackend]) { self.backends = backends }

  /// The next endpoint that takes a call, with its permit; nil where there is none at present. Those that were not
  /// tried yet come first, and among them those that are well.
  func next(now: UInt64, tried: Set<Int>) -> (Int, HookBackend, CircuitBreaker.Permit)? {
    let start = turn.wrappingAdd(1, ordering: .relaxed).oldValue
    for (wasTried, acceptsUnreachable) in [
      (false, false), (false, true), (true, false), (true, true),
    ] {
      for step in backends.indices {
        let index = Int(UInt(bitPattern: start &+ step) % UInt(backends.count))
        guard tried.contains(index) == wasTried else { continue }
        let backend = backends[index]
        if let permit = backend.admit(now: now, acceptsUnreachable: acceptsUnreachable) {
          return (index, backend, permit)
        }
      }
    }
    return nil
  }
}

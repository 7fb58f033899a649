import Dispatch
import Synchronization

/// Lets the main thread wait for what is asynchronous.
enum Blocking {
  static func wait<Value: Sendable>(_ work: @escaping @Sendable () async -> Value) -> Value {
    let result = Box<Value>()
    Task.detached { result.give(await work()) }
    return result.take()
  }

  private final class Box<Value: Sendable>: Sendable {
    private let done = DispatchSemaphore(value: 0)
    private let value = Mutex<Value?>(nil)

    func give(_ value: Value) {
      self.value.withLock { $0 = value }
      done.signal()
    }

    func take() -> Value {
      while true {
        done.wait()
        if let value = value.withLock({ $0 }) { return value }
      }
    }
  }
}

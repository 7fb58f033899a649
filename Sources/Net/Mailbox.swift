import Synchronization

/// Letters to one loop from any thread, in the order in which each sender posted them.
///
/// Senders gather what they have in a turn and post it at its end, so that the lock and the
/// wake-up are paid once a batch. How many letters may wait is bounded by the senders: a loop
/// holds at most one batch for each other loop, and stops reading publishers while the receiver
/// is behind (`MailboxPressure`).
public final class Mailbox<Letter: Sendable>: Sendable {
  private let letters: Mutex<[Letter]>
  private let wakeUp: WakeUp
  /// Whether a wake-up is under way that the owner has not taken yet.
  private let isSignalled = Atomic<Bool>(false)

  /// - Parameter wakeUp: for this mailbox alone. (It is made outside because Swift 6.3.1 fails to
  ///   specialise an initialiser that throws between two fields, one of them a mutex.)
  public init(wakeUp: WakeUp) {
    letters = Mutex([])
    self.wakeUp = wakeUp
  }

  var descriptor: Int32 { wakeUp.number }

  /// Adds a letter and wakes the owner if it has not been woken yet.
  public func post(_ letter: Letter) {
    letters.withLock { $0.append(letter) }
    if !isSignalled.exchange(true, ordering: .acquiringAndReleasing) { wakeUp.signal() }
  }

  /// Takes all letters, for the owner only. `into` must be empty; its storage is reused.
  func take(_ into: inout [Letter]) {
    // In this order: a letter posted in between is taken below or signals anew. The other way round
    // its signal could be cleared with the flag left up, and nobody would wake the owner again.
    wakeUp.clear()
    _ = isSignalled.exchange(false, ordering: .acquiringAndReleasing)
    letters.withLock { swap(&$0, &into) }
  }
}

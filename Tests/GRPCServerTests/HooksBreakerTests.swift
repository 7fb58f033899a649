import Testing

@testable import GRPCServer

/// A breaker with a clock of its own.
struct HooksBreakerTests {
  /// `#expect` takes no call that changes a value.
  private func check(
    _ isTrue: Bool, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(isTrue, sourceLocation: sourceLocation)
  }

  @Test func opensAfterFailuresInARow() {
    var breaker = CircuitBreaker(failures: 3, pauseMilliseconds: 100)
    for _ in 0..<2 {
      check(breaker.failed(.ordinary, now: 0, jitter: 0) == .none)
    }
    check(breaker.succeeded(.ordinary) == .none)
    for _ in 0..<2 {
      check(breaker.failed(.ordinary, now: 0, jitter: 0) == .none)
    }
    check(breaker.admit(now: 0) == .ordinary)
    check(breaker.failed(.ordinary, now: 0, jitter: 0) == .opened)
    check(breaker.isOpen)
    check(breaker.admit(now: 99) == nil)
  }

  @Test func oneProbeDecides() {
    var breaker = CircuitBreaker(failures: 1, pauseMilliseconds: 100)
    check(breaker.failed(.ordinary, now: 0, jitter: 0) == .opened)
    check(breaker.admit(now: 100) == .probe)
    check(breaker.admit(now: 100) == nil)
    check(breaker.failed(.probe, now: 100, jitter: 0) == .none)
    check(breaker.admit(now: 199) == nil)
    check(breaker.admit(now: 200) == .probe)
    check(breaker.succeeded(.probe) == .closed)
    check(!breaker.isOpen)
    check(breaker.admit(now: 200) == .ordinary)
  }

  @Test func aCallOfBeforeDoesNotClose() {
    var breaker = CircuitBreaker(failures: 1, pauseMilliseconds: 100)
    check(breaker.failed(.ordinary, now: 0, jitter: 0) == .opened)
    check(breaker.succeeded(.ordinary) == .none)
    check(breaker.isOpen)
    check(breaker.failed(.ordinary, now: 50, jitter: 0) == .none)
    check(breaker.admits(now: 100))
  }

  @Test func aProbeThatIsGivenUpLeavesTheNext() {
    var breaker = CircuitBreaker(failures: 1, pauseMilliseconds: 100)
    check(breaker.failed(.ordinary, now: 0, jitter: 0) == .opened)
    check(breaker.admit(now: 100) == .probe)
    breaker.abandoned(.probe, now: 101)
    check(breaker.admit(now: 101) == .probe)
  }

  @Test func thePauseIsSpread() {
    for (jitter, end) in [(-1.0, 75), (0, 100), (1, 125)] as [(Double, UInt64)] {
      var breaker = CircuitBreaker(failures: 1, pauseMilliseconds: 100)
      check(breaker.failed(.ordinary, now: 0, jitter: jitter) == .opened)
      check(!breaker.admits(now: end - 1))
      check(breaker.admits(now: end))
    }
  }
}

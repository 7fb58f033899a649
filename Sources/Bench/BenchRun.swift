import Glibc
import Util

/// Runs one load and gives its result.
public func runBench(
  _ options: BenchOptions, _ progress: Progress
) throws(BenchFailure) -> BenchResult {
  if let problem = options.problem { throw BenchFailure(problem) }
  let broker = options.brokerProcess.map { ProcessFacts(process: $0) }
  if let broker, broker.residentBytes == nil {
    throw BenchFailure("there is no process \(broker.process), which --broker-pid names")
  }
  let loops = try BenchLoops(options)
  let run = FlowRun(options, loops, broker, progress)
  let result = options.flow == .idle ? run.idle() : run.load()
  if options.isPersistent && !options.keepsSessions { try endSessions(of: options, progress) }
  return result
}

/// Has each client of a run connect once more, with a clean session, so that the broker keeps none.
func endSessions(of options: BenchOptions, _ progress: Progress) throws(BenchFailure) {
  var last = options
  last.endsSessions = true
  let loops = try BenchLoops(last)
  _ = loops.connect(progress)
  _ = loops.finish()
}

/// One run, on the thread that coordinates it.
private struct FlowRun {
  let options: BenchOptions
  let loops: BenchLoops
  let broker: ProcessFacts?
  let progress: Progress
  let residentBefore: UInt64?
  let begun: UInt64

  init(
    _ options: BenchOptions, _ loops: BenchLoops, _ broker: ProcessFacts?, _ progress: Progress
  ) {
    self.options = options
    self.loops = loops
    self.broker = broker
    self.progress = progress
    residentBefore = broker?.residentBytes
    begun = MonotonicClock.nanoseconds
  }

  private func result() -> BenchResult {
    var result = BenchResult(options: options)
    result.clients = UInt64(loops.clientCount)
    return result
  }

  func idle() -> BenchResult {
    var result = result()
    result.clients = UInt64(options.subscribers)
    IdleRun(options: options, loops: loops, broker: broker, progress: progress).run(&result)
    return result
  }

  func load() -> BenchResult {
    var result = result()
    let sum = loops.connect(progress)
    result.connectSeconds = Double(MonotonicClock.nanoseconds - begun) / 1e9
    result.connected = sum.ready
    result.failed = UInt64(loops.clientCount) - min(sum.ready, UInt64(loops.clientCount))
    result.takeMemory(
      before: residentBefore, after: broker?.residentBytes, clients: sum.ready)
    if result.failed == 0 {
      switch options.extent {
      case .seconds(let seconds): measure(seconds: seconds, &result)
      case .messages(let count): measure(messages: count, &result)
      }
    }
    let end = loops.sum
    result.disconnected = end.lost
    result.complaint = loops.shared.complaint.first
    let findings = loops.finish()
    result.take(findings)
    return result
  }

  private struct Mark {
    var time: UInt64
    var sum: BoardSum
    var brokerCPU: UInt64?
    var brokerWrites: ProcessFacts.Writes?
    var ownCPU: UInt64
  }

  private func mark() -> Mark {
    let cpu = broker?.cpuNanoseconds
    var time = timespec()
    // Safe: the structure is initialized, and the clock exists.
    _ = unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Mark(
      time: MonotonicClock.nanoseconds, sum: loops.sum, brokerCPU: cpu,
      brokerWrites: broker?.writes,
      ownCPU: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
  }

  /// A window of time out of a flow that goes on.
  private func measure(seconds: Double, _ result: inout BenchResult) {
    loops.post(.begin(start: MonotonicClock.nanoseconds, quota: nil))
    watch(seconds: options.warmUpSeconds, "warm-up")
    let from = mark()
    loops.post(.measure(from: from.time))
    watch(seconds: seconds, "measuring")
    let to = mark()
    loops.post(.stopSending)
    result.take(from: from.time, to: to.time, from.sum, to.sum)
    takeCPU(from, to, &result)
    result.isComplete = drain()
  }

  /// A number of messages, from the first one sent to the last one delivered.
  private func measure(messages: UInt64, _ result: inout BenchResult) {
    if options.warmUpSeconds > 0 {
      loops.post(.begin(start: MonotonicClock.nanoseconds, quota: nil))
      watch(seconds: options.warmUpSeconds, "warm-up")
      loops.post(.stopSending)
      _ = drain()
    }
    let channels = UInt64(loops.shared.plan.channels.count)
    let quota = (0..<channels).map { messages / channels + ($0 < messages % channels ? 1 : 0) }
    let from = mark()
    loops.post(.measure(from: from.time))
    loops.post(.begin(start: from.time, quota: quota))
    let isSent = loops.wait(
      patience: options.patienceSeconds, progress: { $0.sent &+ $0.delivered &+ $0.acknowledged },
      each: { progress.running($0, "measuring") }
    ) { $0.sent - from.sum.sent >= messages || $0.lost > 0 }
    result.isComplete = drain() && isSent
    let to = mark()
    result.take(from: from.time, to: max(from.time, to.sum.lastProgress), from.sum, to.sum)
    takeCPU(from, to, &result)
  }

  private func takeCPU(_ from: Mark, _ to: Mark, _ result: inout BenchResult) {
    let deliveries = Double(max(1, to.sum.delivered - from.sum.delivered))
    if let before = from.brokerCPU, let after = to.brokerCPU, after >= before {
      result.brokerCPUSeconds = Double(after - before) / 1e9
      result.brokerMicroseconds = Double(after - before) / 1e3 / deliveries
    }
    if let before = from.brokerWrites, let after = to.brokerWrites, result.messages > 0 {
      let messages = Double(result.messages)
      result.brokerDiskBytes = Double(after.disk - min(before.disk, after.disk)) / messages
      result.brokerCallBytes = Double(after.calls - min(before.calls, after.calls)) / messages
    }
    result.generatorMicroseconds = Double(to.ownCPU - from.ownCPU) / 1e3 / deliveries
  }

  private func watch(seconds: Double, _ what: String) {
    let end = MonotonicClock.nanoseconds + UInt64(seconds * 1e9)
    while MonotonicClock.nanoseconds < end {
      let sum = loops.sum
      if sum.lost > 0 { return }
      progress.running(sum, what)
      // Half a millisecond at the end: the marks are as exact as this.
      usleep(MonotonicClock.nanoseconds + 20_000_000 < end ? 10_000 : 500)
    }
  }

  /// Waits until everything is here; false where nothing more came for a while.
  private func drain() -> Bool {
    // What a server drops at QoS 0 never comes, and needs no long wait.
    let patience = options.qos == .atMostOnce ? 2.0 : options.patienceSeconds
    let fan = options.flow == .share ? 1 : loops.shared.plan.channels.first?.fan ?? 1
    return loops.wait(
      patience: patience, progress: { $0.sent &+ $0.delivered &+ $0.acknowledged }
    ) {
      if $0.lost > 0 { return true }
      return $0.isIdle && $0.delivered >= $0.sent * UInt64(fan)
        && (options.qos == .atMostOnce || $0.acknowledged >= $0.sent)
    }
  }
}

import Glibc
import Packet
import Util

/// A process that holds a share of the idle clients: the same program, started again, because one
/// process has too few descriptors, or too few cores at work.
///
/// It says `at CONNECTED` once a second while it connects them, `ready CONNECTED FAILED` on its standard output when its clients are connected, holds
/// them until its standard input ends, and says `lost COUNT` before it ends.
@safe
private final class ClientProcess {
  let process: pid_t
  /// Its standard input, and its standard output.
  private(set) var input: Int32
  let output: Int32
  private var pending: [UInt8] = []
  /// Clients that are connected, as it said last.
  var connected: UInt64 = 0
  var ready: (connected: UInt64, failed: UInt64)?
  var lost: UInt64?
  var hasEnded = false

  init(arguments: [String]) throws(BenchFailure) {
    var toChild: InlineArray<2, Int32> = [-1, -1]
    var fromChild: InlineArray<2, Int32> = [-1, -1]
    guard Self.makePipe(&toChild), Self.makePipe(&fromChild) else {
      throw BenchFailure("cannot make a pipe: \(BenchFailure.reason(errno))")
    }
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    // Our own ends close themselves in the child (O_CLOEXEC).
    unsafe posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
    // Safe: the strings are copied, the list ends with null, and both outlive the call.
    var words = unsafe arguments.map { unsafe strdup($0) } + [nil]
    defer { unsafe words.forEach { unsafe free($0) } }
    var process: pid_t = 0
    let code = unsafe posix_spawn(&process, "/proc/self/exe", &actions, nil, &words, environ)
    close(toChild[0])
    close(fromChild[1])
    guard code == 0 else {
      close(toChild[1])
      close(fromChild[0])
      throw BenchFailure("cannot start a process: \(BenchFailure.reason(code))")
    }
    self.process = process
    input = toChild[1]
    output = fromChild[0]
  }

  private static func makePipe(_ ends: inout InlineArray<2, Int32>) -> Bool {
    var span = ends.mutableSpan
    let code = unsafe span.withUnsafeMutableBufferPointer {
      // Safe: the buffer has the two numbers that are written, and so an address.
      unsafe pipe($0.baseAddress!)
    }
    // No other thread starts a process between the calls.
    return code == 0 && fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0
      && fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0
  }

  /// Reads what it said; to be called when its output is readable.
  func read() {
    var part = [UInt8](repeating: 0, count: 4_096)
    let count = unsafe part.withUnsafeMutableBytes {
      unsafe Glibc.read(output, $0.baseAddress, $0.count)
    }
    if count < 0 && errno == EINTR { return }
    guard count > 0 else {
      hasEnded = true
      return
    }
    pending += part[..<count]
    while let end = pending.firstIndex(of: 0x0A) {
      let words = String(decoding: pending[..<end], as: UTF8.self).split(separator: " ")
      pending.removeSubrange(...end)
      let numbers = words.dropFirst().compactMap { UInt64($0) }
      if words.first == "at" && numbers.count == 1 { connected = numbers[0] }
      if words.first == "ready" && numbers.count == 2 {
        ready = (numbers[0], numbers[1])
        connected = numbers[0]
      }
      if words.first == "lost" && numbers.count == 1 { lost = numbers[0] }
    }
  }

  /// Asks it to end.
  func release() {
    if input >= 0 { close(input) }
    input = -1
  }

  /// Waits until it has ended.
  func wait() {
    var status: Int32 = 0
    // Safe: the status is initialized.
    while unsafe waitpid(process, &status, 0) < 0 && errno == EINTR {}
  }

  deinit {
    release()
    close(output)
  }
}

extension BenchFailure {
  static func reason(_ code: Int32) -> String {
    unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
  }
}

extension BenchOptions {
  /// The arguments of a process that holds `count` clients from number `first` on.
  func childArguments(first: Int, count: Int) -> [String] {
    let versionWord =
      switch version {
      case .v3_1: "31"
      case .v3_1_1: "311"
      case .v5: "5"
      }
    var words = [
      "bifrost", "bench", "idle", "--yes", "--child", runName, "--host", address, "--port",
      "\(port)", "--clients", "\(count)", "--first-client", "\(first)", "--loops", "\(loops)",
      "--mqtt-version", versionWord, "--keep-alive", "\(keepAlive)", "--patience",
      "\(patienceSeconds)",
    ]
    if !subscribes { words.append("--no-subscribe") }
    if isPersistent { words.append("--persistent") }
    if keepsSessions { words.append("--keep-sessions") }
    if !sources.isEmpty { words += ["--source-addresses", sources.joined(separator: ",")] }
    return words
  }
}

/// Holds idle clients as a part of a run that another process coordinates: says what came of it by
/// `say`, and lets go of them when standard input ends.
public func runIdleChild(
  _ options: BenchOptions, say: (String) -> Void
) throws(BenchFailure) {
  if let problem = options.problem { throw BenchFailure(problem) }
  let loops = try BenchLoops(options)
  var next = MonotonicClock.nanoseconds
  let sum = loops.connect(Progress { _ in }) { sum in
    guard MonotonicClock.nanoseconds >= next else { return }
    next = MonotonicClock.nanoseconds + 1_000_000_000
    say("at \(sum.ready)\n")
  }
  let failed = UInt64(loops.clientCount) - min(sum.ready, UInt64(loops.clientCount))
  say("ready \(sum.ready) \(failed)\n")
  var byte: UInt8 = 0
  while true {
    // Safe: one byte is read into one byte.
    let count = unsafe read(STDIN_FILENO, &byte, 1)
    if count == 0 || (count < 0 && errno != EINTR) { break }
  }
  say("lost \(loops.sum.lost)\n")
  _ = loops.finish()
  if options.isPersistent && !options.keepsSessions {
    try endSessions(of: options, Progress { _ in })
  }
}

/// Runs an idle load spread over `count` processes of this program.
public func runIdleProcesses(
  _ options: BenchOptions, count: Int, _ progress: Progress
) throws(BenchFailure) -> BenchResult {
  if let problem = options.problem { throw BenchFailure(problem) }
  guard count >= 1 && count <= 256 else { throw BenchFailure("--processes is 1 to 256") }
  let broker = options.brokerProcess.map { ProcessFacts(process: $0) }
  if let broker, broker.residentBytes == nil {
    throw BenchFailure("there is no process \(broker.process), which --broker-pid names")
  }
  var result = BenchResult(options: options)
  result.clients = UInt64(options.subscribers)
  let residentBefore = broker?.residentBytes
  let cpuBefore = broker?.cpuNanoseconds
  let begun = MonotonicClock.nanoseconds
  var children: [ClientProcess] = []
  for index in 0..<count {
    let first = options.subscribers * index / count
    let share = options.subscribers * (index + 1) / count - first
    guard share > 0 else { continue }
    children.append(
      try ClientProcess(
        arguments: options.childArguments(first: options.firstClient + first, count: share)))
  }
  listen(to: children) {
    progress.connecting(children.reduce(0) { $0 + $1.connected }, of: result.clients)
    return $0.ready != nil
  }
  result.connectSeconds = Double(MonotonicClock.nanoseconds - begun) / 1e9
  result.connected = children.reduce(0) { $0 + ($1.ready?.connected ?? 0) }
  result.failed = result.clients - min(result.clients, result.connected)
  if children.contains(where: { $0.ready == nil }) { result.complaint = "a process has ended" }
  if let before = cpuBefore, let after = broker?.cpuNanoseconds, result.connected > 0 {
    result.brokerConnectMicroseconds =
      Double(after - min(before, after)) / 1e3 / Double(result.connected)
  }
  progress.say("\(result.connected) clients are ready; holding them for \(options.holdSeconds) s")
  let end = MonotonicClock.nanoseconds + UInt64(options.holdSeconds * 1e9)
  while MonotonicClock.nanoseconds < end { usleep(10_000) }
  result.takeMemory(
    before: residentBefore, after: broker?.residentBytes, clients: result.connected)
  for child in children { child.release() }
  listen(to: children) { $0.lost != nil }
  result.disconnected = children.reduce(0) { $0 + ($1.lost ?? 0) }
  for child in children { child.wait() }
  return result
}

/// Reads what processes say until each is as wanted or has ended.
private func listen(to children: [ClientProcess], until isDone: (ClientProcess) -> Bool) {
  while true {
    let open = children.filter { !$0.hasEnded && !isDone($0) }
    guard !open.isEmpty else { return }
    var polls = open.map { pollfd(fd: $0.output, events: Int16(POLLIN), revents: 0) }
    // Safe: the list has as many entries as are named.
    let found = unsafe poll(&polls, nfds_t(polls.count), -1)
    guard found > 0 else { continue }
    for (child, entry) in zip(open, polls) where entry.revents != 0 { child.read() }
  }
}

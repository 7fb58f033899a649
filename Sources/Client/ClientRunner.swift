import Net
import Packet
import Util

/// How a client's life ended.
public enum ClientOutcome: Sendable, Equatable {
  /// It was told to finish.
  case finished
  /// The time given to `setTimeLimit` is over.
  case timedOut
  /// The server did not take the client, or ended the connection with a reason.
  case refused(ReasonCode, String)
  /// The network failed, or the server closed the connection; in words.
  case failed(String)
}

/// Work for the client's thread.
public struct ClientOrder: Sendable {
  let run: @Sendable (ClientRunner) -> Void
}

/// What a program does with a client. All calls come on the thread that is in `run`.
public protocol ClientDelegate: AnyObject {
  /// Something came from the server.
  func handle(_ event: ClientEvent, _ client: ClientRunner)
  /// What was sent has left; there is room for more.
  func drained(_ client: ClientRunner)
}

/// Where a client connects to, and how it behaves when that fails.
public struct ClientTarget: Sendable {
  /// Numeric addresses, tried in turn; at least one.
  public var addresses: [String]
  /// The server's port.
  public var port: UInt16
  /// A numeric address of this machine to come from; nil for the system's choice.
  public var source: String?
  /// Whether to connect again after a connection that the server had taken is lost.
  public var reconnects = false

  /// - Parameter addresses: see `resolve`.
  public init(addresses: [String], port: UInt16, source: String? = nil) {
    precondition(!addresses.isEmpty)
    self.addresses = addresses
    self.port = port
    self.source = source
  }
}

/// One client on an event loop of its own.
public final class ClientRunner {
  /// Ticks that the server has to accept a connection and answer CONNECT: 30 s.
  static var connectTicks: UInt32 { 240 }
  /// Ticks before the first and between the last attempts to connect again: 1 s and 32 s.
  static var retryTicks: ClosedRange<UInt32> { 8...256 }

  /// The state of the protocol.
  public private(set) var session: ClientSession
  let target: ClientTarget
  let loop: Loop<ClientRunner>
  let mailbox: Mailbox<ClientOrder>
  weak var delegate: (any ClientDelegate)?
  var addressIndex = 0
  /// 0 while there is no connection.
  var slot: UInt32 = 0
  var out: [UInt8] = []
  var outcome: ClientOutcome?
  /// Why the last attempt failed.
  var lastFailure = ""
  var wasConnected = false
  var retryDelay = ClientRunner.retryTicks.lowerBound
  /// When to connect again; 0 while there is no need to.
  var retryAt: UInt32 = 0
  var limitAt: UInt32 = 0
  var awaitsPong = false

  /// - Parameter options: what the client says in CONNECT.
  /// - Throws: `NetError` when the system gives no descriptor for the loop.
  public init(_ options: ConnectPacket, to target: ClientTarget) throws(NetError) {
    session = ClientSession(options)
    self.target = target
    mailbox = Mailbox(wakeUp: try WakeUp())
    loop = try Loop(mailbox: mailbox, maximumConnections: 16)
  }

  /// Gives work to the client's thread from another one, through what `poster` returned.
  public struct Poster: Sendable {
    let mailbox: Mailbox<ClientOrder>

    /// Runs `work` on the client's thread.
    public func post(_ work: @escaping @Sendable (ClientRunner) -> Void) {
      mailbox.post(ClientOrder(run: work))
    }
  }

  /// A way to the client's thread.
  public var poster: Poster { Poster(mailbox: mailbox) }

  /// Connects and runs until the client has ended. To be called once.
  public func run(_ delegate: any ClientDelegate) -> ClientOutcome {
    self.delegate = delegate
    begin()
    loop.run(self)
    return outcome ?? .finished
  }

  /// Ends the client after `seconds` of no success, with `timedOut`.
  public func setTimeLimit(seconds: UInt32) {
    limitAt = loop.now &+ seconds &* 8 &+ 1
  }

  /// Bytes that wait to be sent.
  public var pendingBytes: Int { slot == 0 ? 0 : loop.pendingOutput(slot) + out.count }

  /// Lets the program use the session; what it appends is sent.
  public func use<Result>(
    _ body: (inout ClientSession, inout [UInt8]) throws(ClientError) -> Result
  ) throws(ClientError) -> Result {
    let result = try body(&session, &out)
    send()
    return result
  }

  /// Asks for `drained` when all that was sent so far has left.
  public func tellWhenDrained() {
    if slot != 0 && loop.pendingOutput(slot) > 0 { loop.tellWhenDrained(slot) }
  }

  /// Ends the client in good order.
  public func finish(
    _ outcome: ClientOutcome = .finished, _ goodbye: DisconnectPacket = DisconnectPacket()
  ) {
    guard self.outcome == nil else { return }
    self.outcome = outcome
    retryAt = 0
    session.disconnect(goodbye, into: &out)
    send()
    if slot != 0 { loop.finish(slot) }
    slot = 0
  }

  private func send() {
    guard slot != 0, !out.isEmpty else { return }
    // Taken out and put back: a span of a property would not outlast the call.
    var bytes: [UInt8] = []
    swap(&bytes, &out)
    loop.write(slot, header: bytes.span, packetIDOffset: 0, packetID: 0, body: Span())
    bytes.removeAll(keepingCapacity: true)
    swap(&bytes, &out)
  }

  private func begin() {
    retryAt = 0
    awaitsPong = false
    out.removeAll()
    session.connectionLost()
    do throws(NetError) {
      slot = try loop.connect(
        to: target.addresses[addressIndex], port: target.port, from: target.source)
      loop.setTimer(slot, at: loop.now + ClientRunner.connectTicks)
    } catch {
      slot = 0
      lost("\(error)")
    }
  }

  /// The connection is gone, or could not be made.
  private func lost(_ reason: String) {
    slot = 0
    let had = session.phase
    session.connectionLost()
    guard outcome == nil else { return }
    lastFailure = reason
    if had == .idle && !wasConnected && addressIndex + 1 < target.addresses.count {
      addressIndex += 1
      retryAt = loop.now + 1
      return
    }
    guard target.reconnects && wasConnected else {
      outcome = .failed(reason)
      return
    }
    addressIndex = 0
    retryAt = loop.now + retryDelay
    retryDelay = min(2 * retryDelay, ClientRunner.retryTicks.upperBound)
  }

  private func drop(_ reason: String) {
    let dropped = slot
    slot = 0
    if dropped != 0 { loop.drop(dropped) }
    lost(reason)
  }

  private func take(_ event: ClientEvent) {
    switch event {
    case .connected:
      wasConnected = true
      retryDelay = ClientRunner.retryTicks.lowerBound
      setPingTimer()
    case .pong: awaitsPong = false
    case .refused(let reason, let text), .disconnected(let reason, let text):
      if !(target.reconnects && wasConnected) {
        outcome = .refused(reason, text)
        if slot != 0 { loop.finish(slot) }
        slot = 0
      }
    default: break
    }
    delegate?.handle(event, self)
  }

  private func setPingTimer() {
    // A tick early, so that the server hears of us before the time is over [MQTT-3.1.2-22].
    if session.keepAlive == 0 {
      loop.cancelTimer(slot)
    } else {
      loop.setTimer(slot, at: loop.now + UInt32(session.keepAlive) * 8 - 1)
    }
  }
}

extension ClientRunner: LoopHandler {
  /// The connection is there.
  public func opened(_ slot: UInt32) {
    guard slot == self.slot else { return }
    session.connect(into: &out)
    send()
  }

  /// Bytes came.
  public func received(_ slot: UInt32, _ bytes: Span<UInt8>) -> Received {
    var offset = 0
    while slot == self.slot {
      let header: FixedHeader
      do throws(DecodeError) {
        switch try decodeFrame(
          bytes, from: offset, maximumPacketSize: maximumPossiblePacketSize,
          version: session.version)
        {
        case .incomplete(let needed):
          send()
          return Received(consumed: offset, needed: needed)
        case .packet(let found): header = found
        }
      } catch {
        drop(ClientError.malformed(error).description)
        break
      }
      do throws(ClientError) {
        let packet = bytes.extracting(offset..<offset + header.totalLength)
        let event = try session.receive(packet, header, into: &out)
        if let event { take(event) }
      } catch {
        drop(error.description)
        break
      }
      offset += header.totalLength
    }
    send()
    return Received(consumed: bytes.count, needed: 0)
  }

  /// The connection ended, or could not be made.
  public func closed(_ slot: UInt32, _ reason: CloseReason) {
    guard slot == self.slot else { return }
    let words =
      switch reason {
      case .peerClosed: "the server closed the connection"
      case .networkError(let code): NetError.reason(code)
      case .exhausted: "out of memory"
      }
    lost(words)
  }

  /// A ping is due, or an answer is overdue.
  public func timerFired(_ slot: UInt32) {
    guard slot == self.slot else { return }
    if session.phase != .connected { return drop("the server does not answer") }
    if awaitsPong { return drop("the server does not answer a ping") }
    awaitsPong = true
    session.ping(into: &out)
    send()
    setPingTimer()
  }

  /// Everything was sent.
  public func drained(_ slot: UInt32) {
    if slot == self.slot { delegate?.drained(self) }
  }

  /// Work from another thread.
  public func receive(_ order: ClientOrder) { order.run(self) }

  /// Connects again when it is time, and ends the loop when the client has ended.
  public func turnEnds(now: UInt32) -> UInt32? {
    if limitAt != 0 && now >= limitAt && outcome == nil { finish(.timedOut) }
    if retryAt != 0 && now >= retryAt { begin() }
    if outcome != nil {
      if loop.isEmpty { loop.stop() }
      return now + 1
    }
    var next: UInt32? = nil
    for tick in [retryAt, limitAt] where tick != 0 { next = min(next ?? tick, tick) }
    return next
  }
}

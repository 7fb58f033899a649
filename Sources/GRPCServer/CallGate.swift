import GRPCCore

/// What each call has to pass: the token, the number of calls, the deadline.
struct CallGate: Sendable {
  let tokens: TokenTable
  let calls: CallRegistry
  /// Where calls do their work.
  let executor: LoopExecutor

  /// Lets a call with many requests or answers in, and does its work.
  /// - Parameter scope: what the caller has to be allowed; nil for nothing.
  /// - Parameter isStream: whether it is ended when the broker stops.
  func stream<Input, Output>(
    _ request: StreamingServerRequest<Input>, needs scope: BackendScope?,
    isStream: Bool = true,
    _ work:
      @escaping @Sendable (RPCAsyncSequence<Input, any Error>, RPCWriter<Output>, Call) async throws
      -> Void
  ) throws -> StreamingServerResponse<Output> {
    let caller =
      if let scope { try tokens.caller(request.metadata, needs: scope) } else { Caller(name: "") }
    let call = try calls.admit(
      caller, isStream: isStream, timeout: Self.timeout(request.metadata))
    return StreamingServerResponse { writer in
      try await call.run(on: executor) { try await work(request.messages, writer, call) }
      return [:]
    }
  }

  /// Lets a call with one request and many answers in, and does its work.
  func answers<Input, Output>(
    _ request: StreamingServerRequest<Input>, needs scope: BackendScope?, isStream: Bool = true,
    _ work: @escaping @Sendable (Input, RPCWriter<Output>, Call) async throws -> Void
  ) throws -> StreamingServerResponse<Output> {
    try stream(request, needs: scope, isStream: isStream) { messages, writer, call in
      try await work(Self.one(messages), writer, call)
    }
  }

  /// Lets a call with one request and one answer in, and does its work.
  func unary<Input, Output>(
    _ request: StreamingServerRequest<Input>, needs scope: BackendScope?,
    _ work: @escaping @Sendable (Input, Call) async throws -> Output
  ) throws -> StreamingServerResponse<Output> {
    try stream(request, needs: scope, isStream: false) { messages, writer, call in
      try await writer.write(work(Self.one(messages), call))
    }
  }

  private static func one<Input>(
    _ messages: RPCAsyncSequence<Input, any Error>
  ) async throws -> Input {
    var iterator = messages.makeAsyncIterator()
    guard let first = try await iterator.next() else {
      // Where the call ended in between, its end is what is thrown.
      try Task.checkCancellation()
      throw Refusal(.invalidArgument, "REQUEST_MISSING", "the call has no request")
    }
    return first
  }

  /// Milliseconds until the deadline, from the header that the caller's library writes: up to eight digits
  /// and a unit.
  static func timeout(_ metadata: Metadata) -> UInt64? {
    var values = metadata[stringValues: "grpc-timeout"].makeIterator()
    guard let value = values.next(), let unit = value.last, value.utf8.count <= 9,
      let count = UInt64(value.dropLast())
    else { return nil }
    switch unit {
    case "H": return count * 3_600_000
    case "M": return count * 60_000
    case "S": return count * 1000
    case "m": return count
    case "u": return count / 1000
    case "n": return count / 1_000_000
    default: return nil
    }
  }
}

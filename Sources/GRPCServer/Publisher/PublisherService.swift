import BifrostAPI
import GRPCCore
import GRPCProtobuf
import Session
import Synchronization

/// `bifrost.v1.Publisher`.
struct PublisherService: RegistrableRPCService {
  let gate: CallGate
  let gateway: any Gateway
  let submitter: PlanSubmitter
  let loops: LoopTurn
  let options: BackendOptions

  /// As generated code does it, but for how requests of `PublishStream` are read.
  func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    router.registerHandler(
      forMethod: Bifrost_V1_Publisher.Method.Publish.descriptor,
      deserializer: ProtobufDeserializer<Bifrost_V1_PublishRequest>(),
      serializer: ProtobufSerializer<Bifrost_V1_PublishResponse>()
    ) { request, context in
      try await publish(request: request, context: context)
    }
    router.registerHandler(
      forMethod: Bifrost_V1_Publisher.Method.PublishStream.descriptor,
      deserializer: StreamRequestDeserializer(),
      serializer: ProtobufSerializer<Bifrost_V1_PublishStreamResponse>()
    ) { request, _ in
      try gate.stream(request, needs: .publish, publishStream)
    }
    router.registerHandler(
      forMethod: Bifrost_V1_Publisher.Method.Broadcast.descriptor,
      deserializer: ProtobufDeserializer<Bifrost_V1_BroadcastRequest>(),
      serializer: ProtobufSerializer<Bifrost_V1_BroadcastResponse>()
    ) { request, context in
      try await broadcast(request: request, context: context)
    }
  }

  private func publish(
    request: StreamingServerRequest<Bifrost_V1_PublishRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Bifrost_V1_PublishResponse> {
    try gate.unary(request, needs: .publish) { request, call in
      var plan = PublishPlan()
      try plan.append(request, "", call.caller)
      try await waitWhilePressed()
      let checked = plan
      let result = try await answer { done in
        submitter.submit(checked, loop: loops.next(), done: done)
      }
      return result.response(0)
    }
  }

  private func broadcast(
    request: StreamingServerRequest<Bifrost_V1_BroadcastRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Bifrost_V1_BroadcastResponse> {
    try gate.answers(request, needs: .publish, broadcast)
  }

  /// Waits until loops and store have caught up. That they have not is rare, and nobody tells of its end.
  func waitWhilePressed() async throws {
    while gateway.isPressed {
      try await Task.sleep(for: .milliseconds(BackendLimits.pressedMilliseconds))
    }
  }
}

/// Gives the loops in turn.
final class LoopTurn: Sendable {
  private let count: Int
  private let turn = Atomic<Int>(0)

  init(count: Int) { self.count = max(1, count) }

  /// The next loop.
  func next() -> Int {
    let turn = turn.wrappingAdd(1, ordering: .relaxed).oldValue
    return Int(UInt(bitPattern: turn) % UInt(count))
  }
}

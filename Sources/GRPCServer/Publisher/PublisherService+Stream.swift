import BifrostAPI
import GRPCCore
import Session

extension PublisherService {
  /// Reads requests and hands them to one loop, while another task answers those that are done.
  func publishStream(
    _ requests: RPCAsyncSequence<StreamRequest, any Error>,
    _ writer: RPCWriter<Bifrost_V1_PublishStreamResponse>, _ call: Call
  ) async throws {
    let window = PublishWindow()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await answer(window, writer, call) }
      var failure: (any Error)?
      do { try await read(requests, into: window, call) } catch { failure = error }
      // What was taken before the fault is answered before it is told.
      window.close()
      try await group.waitForAll()
      if let failure { throw failure }
    }
  }

  private func read(
    _ requests: RPCAsyncSequence<StreamRequest, any Error>,
    into window: PublishWindow, _ call: Call
  ) async throws {
    let loop = loops.next()
    for try await request in requests {
      switch request {
      case .batch(let batch):
        let number = try await window.enter(
          bytes: batch.bytes.count, wantsResults: batch.wantsOutcomes)
        try await waitWhilePressed()
        let count = batch.records.count
        guard count > 0 else {
          window.finish(number, .batch(count: 0, []))
          continue
        }
        gateway.publish(batch, loop: loop) { outcomes in
          window.finish(number, .batch(count: count, outcomes))
        }
      case .other(let request):
        let plan = try plan(request, call)
        let number = try await window.enter(
          bytes: plan.byteCount, wantsResults: request.wantsResults)
        try await waitWhilePressed()
        let onItsWay = Answer<Void>()
        submitter.submit(plan, loop: loop, submitted: { onItsWay.give(()) }) {
          window.finish(number, .plan($0))
        }
        try await onItsWay.wait()
      }
    }
    try Task.checkCancellation()
  }

  private func plan(
    _ request: Bifrost_V1_PublishStreamRequest, _ call: Call
  ) throws(Refusal) -> PublishPlan {
    guard request.publishes.count <= BackendLimits.publishes else {
      throw Refusal.field("publishes", "more than \(BackendLimits.publishes)")
    }
    var plan = PublishPlan()
    for (index, publish) in request.publishes.enumerated() {
      do throws(Refusal) { try plan.append(publish, "", call.caller) } catch {
        throw error.within("publishes[\(index)].")
      }
    }
    return plan
  }

  private func answer(
    _ window: PublishWindow, _ writer: RPCWriter<Bifrost_V1_PublishStreamResponse>, _ call: Call
  ) async throws {
    var response = Bifrost_V1_PublishStreamResponse()
    while let done = try await window.leave() {
      let result = done.result
      response.requests += 1
      response.publishes += UInt64(result.count)
      response.results = done.wantsResults ? result.responses : []
      response.refused = result.refused
      try await call.write(response, to: writer)
    }
  }
}

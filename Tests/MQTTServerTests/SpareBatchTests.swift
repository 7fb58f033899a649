import Logging
import Testing

@testable import MQTTServer

@Suite struct SpareBatchTests {
  /// What a busy time between loops leaves goes back once it is over, and no sooner.
  @Test func batchesThatNobodyTakesAreFreed() throws {
    let broker = try Broker(
      options: ServerOptions(), store: nil, hooks: nil, connectionLimit: 1,
      logger: Logger(label: "test"))
    #expect(!broker.hasSpareBatches)
    let batches = (0..<5).map { _ in broker.takeBatch() }
    for batch in batches { broker.giveBack(batch) }
    broker.trimBatches()
    #expect(broker.hasSpareBatches, "they were in use since the last time")
    let (first, second) = (broker.takeBatch(), broker.takeBatch())
    #expect(batches.contains { $0 === first } && batches.contains { $0 === second })
    broker.giveBack(first)
    broker.giveBack(second)
    broker.trimBatches()
    let (third, fourth, fifth) = (broker.takeBatch(), broker.takeBatch(), broker.takeBatch())
    #expect(batches.contains { $0 === third } && batches.contains { $0 === fourth })
    #expect(!batches.contains { $0 === fifth }, "three that nobody took are gone")
    for batch in [third, fourth, fifth] { broker.giveBack(batch) }
    broker.trimBatches()
    broker.trimBatches()
    #expect(!broker.hasSpareBatches)
  }
}

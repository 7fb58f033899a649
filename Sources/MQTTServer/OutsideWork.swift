import Net
import Packet
import Session
import Store
import Util

/// What is under way on one loop for servers of this process.
struct OutsideWork {
  /// What waits for a session, by its slot.
  var errands: [UInt32: WaitingErrands] = [:]
  /// How much that is in all.
  var errandCount = 0
  /// Stored sessions to which subscriptions are added that the store does not have yet, with their
  /// generations.
  var subscribing: [UInt32: UInt32] = [:]
  /// Absent sessions that are still to get retained messages: those that were, since the last was added.
  var absentRetained: Set<UInt32> = []
  /// Lists that wait for the store, by tag.
  var lists: [UInt64: ListRequest] = [:]
  /// Backlogs that wait for the store, by tag.
  var backlogs: [UInt32: BacklogRequest] = [:]
  var lastListTag: UInt64 = 0
  var lastBacklogTag: UInt32 = 0
  var broadcasts: [BroadcastRun] = []

  /// Whether there is something to be looked at in each turn.
  var isBusy: Bool { errandCount > 0 || !broadcasts.isEmpty }
}

extension Worker {
  /// Goes on with what is under way. Gives the tick at which to be called again; nil where only events are
  /// waited for.
  func workForOutside() -> UInt32? {
    if outside.errandCount > 0 { retryErrands() }
    return outside.broadcasts.isEmpty ? nil : workOnBroadcasts()
  }

  /// Answers all that waits for the store, which began to fail: nobody knows for how long.
  func refuseOutside() {
    let reason = Worker.storeUnavailable
    let errands = outside.errands
    outside.errands = [:]
    outside.errandCount = 0
    for waiting in errands.values {
      for errand in waiting.errands { errand.fail(.unavailable(reason)) }
    }
    let lists = outside.lists
    outside.lists = [:]
    for request in lists.values { request.done(.unavailable(reason)) }
    let backlogs = outside.backlogs
    outside.backlogs = [:]
    for request in backlogs.values { request.done(.unavailable(reason)) }
  }

  static var storeUnavailable: String { "the store can't be used at present" }
}

import Logging
import PubSub
import Session
import Store
import Util

/// What the store tells, on its thread.
extension Broker: StoreListener {
  func deliver(_ events: [StoreEvent], to loop: Int) {
    guard loop < mailboxes.count else { return }
    mailboxes[loop].post(.store(events))
  }

  func loops(for topic: Span<UInt8>) -> UInt64 {
    guard let interest else { return 1 }
    if let direct = DirectTopic(topic) {
      guard let owner = directory.find(topic.extracting(direct.client)) else { return 0 }
      return 1 << UInt64(owner.loop)
    }
    return interest.loops(forTopic: topic, topicHash: topicHash(topic, seed: seed))
  }

  func gainedReaders(_ filter: Span<UInt8>) {
    readers?.add(InterestKey(filter: filter, seed: seed), loop: 0)
  }

  func lostReaders(_ filter: Span<UInt8>) {
    readers?.remove(InterestKey(filter: filter, seed: seed), loop: 0)
  }

  func knowsReaders() {
    areReadersKnown.store(true, ordering: .releasing)
    logger.debug("all filters and clients of the store are known")
  }

  func storeChanged(_ state: StoreState) {
    switch state {
    case .working: logger.notice("the store can be written again")
    case .failing(let reason):
      logger.error(
        "the store can't be written, and is tried again: publishers of messages that have to be kept wait",
        metadata: ["reason": "\(reason)"])
      for mailbox in mailboxes { mailbox.post(.storeFails) }
    case .growing(let reason):
      logger.error(
        "what is stored is safe, but the store's write-ahead log can't be copied into its file, and grows",
        metadata: ["reason": "\(reason)"])
    case .tidy: logger.notice("the store's write-ahead log can be copied into its file again")
    }
  }

  func storeDamaged(_ what: String) {
    logger.error(
      "a part of the store can't be read and was given up", metadata: ["reason": "\(what)"])
  }
}

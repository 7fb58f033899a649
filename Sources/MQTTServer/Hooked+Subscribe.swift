import Net
import Packet
import PubSub
import Session
import Util

/// Subscriptions of clients about which somebody outside is asked, or that an access list bounds.
extension Worker {
  /// What becomes of each filter of a SUBSCRIBE, in order.
  struct Grants {
    /// Nil where all are granted as asked for.
    var filters: [SubscribeVerdict.Filter]?
    private var next = 0

    init(_ filters: [SubscribeVerdict.Filter]?) { self.filters = filters }

    /// What becomes of the next filter; nil where it is granted as asked for.
    mutating func take() -> SubscribeVerdict.Filter? {
      guard let filters, next < filters.count else { return nil }
      defer { next += 1 }
      return filters[next]
    }
  }

  /// What becomes of a SUBSCRIBE; nil where somebody is asked, and the packet is handled anew when there is an answer.
  func grants(
    _ slot: UInt32, _ session: UInt32, _ subscribe: Subscribe, _ packet: Span<UInt8>
  ) -> Grants? {
    guard let hooks, !trusted.contains(slot) else { return Grants(nil) }
    let access = identities[session]?.access
    guard hookPoints.contains(.subscribe) else {
      guard let access else { return Grants(nil) }
      var verdicts: [SubscribeVerdict.Filter] = []
      var cursor = subscribe.makeCursor()
      while let entry = cursor.next(packet) {
        verdicts.append(judge(packet.extracting(entry.filter), entry, access, nil))
      }
      return Grants(verdicts)
    }
    var filters: [(filter: [UInt8], qos: QoS)] = []
    var verdicts: [SubscribeVerdict.Filter] = []
    let answer = questions.removeValue(forKey: slot)?.verdict
    var cursor = subscribe.makeCursor()
    while let entry = cursor.next(packet) {
      let filter = packet.extracting(entry.filter)
      filters.append((filter.array, entry.options.qos))
      var given: SubscribeVerdict.Filter?
      if case .subscribe(let verdict)? = answer, verdicts.count < verdict.filters.count {
        given = verdict.filters[verdicts.count]
      }
      verdicts.append(judge(filter, entry, access, given))
    }
    if case .subscribe? = answer { return Grants(verdicts) }
    let question = SubscribeQuestion(client: hookedClient(session), filters: filters)
    hooks.subscribe(question, answer: answerer(slot) { .subscribe($0) })
    return nil
  }

  private func judge(
    _ filter: Span<UInt8>, _ entry: SubscribeEntry, _ access: AccessList?,
    _ given: SubscribeVerdict.Filter?
  ) -> SubscribeVerdict.Filter {
    // What is not a filter is refused as such.
    if entry.isValid, let access {
      var inner = filter
      if case .shared(_, let range) = parseSharedSubscription(filter) {
        inner = filter.extracting(range)
      }
      if !access.maySubscribe(inner) { return .refuse(.notAuthorized) }
    }
    return given ?? .allow(entry.options.qos)
  }
}

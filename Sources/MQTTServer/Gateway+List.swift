import Net
import Packet
import Session
import Store
import Synchronization
import Util

/// Lists of clients: first stored sessions, as the store has them, then those that are in memory alone.
extension MQTTBroker {
  /// See `Gateway`, and `ListCursor` for what a cursor is.
  public func list(
    _ query: ClientQuery, done: @escaping @Sendable (Steered<ClientPage>) -> Void
  ) {
    var query = query
    query.maximum = min(max(query.maximum, 1), Limits.listedClients)
    let beginning: ListCursor =
      broker.durable == nil ? .memory(loop: 0, slot: 0) : .stored(after: [])
    guard let cursor = query.cursor.isEmpty ? beginning : ListCursor(query.cursor) else {
      return done(.unavailable("the cursor is not one of a list"))
    }
    switch cursor {
    case .stored(let client):
      let number = broker.outside.listed.wrappingAdd(1, ordering: .relaxed).newValue
      let target = Int(UInt(bitPattern: number) % UInt(loopCount))
      broker.mailboxes[target].post(
        .perform { [query] in $0.listStored(ListRequest(query: query, done: done), after: client) })
    case .memory(let loop, let slot):
      guard loop < loopCount else {
        return done(.unavailable("the cursor is not one of a list"))
      }
      broker.mailboxes[loop].post(
        .perform { [query] in done(.done($0.listMemory(query, from: slot))) })
    }
  }
}

/// A page of a list, while the store looks for it.
struct ListRequest: Sendable {
  let query: ClientQuery
  let done: @Sendable (Steered<ClientPage>) -> Void
}

/// A page of stored sessions, while loops say what they know of those that they have.
private final class PageUnderWay: Sendable {
  private struct State {
    var entries: [ClientPage.Entry?]
    var missing: Int
  }

  let query: ClientQuery
  private let next: [UInt8]?
  private let done: @Sendable (Steered<ClientPage>) -> Void
  private let state: Mutex<State>

  /// - Parameter parts: how often `add` is to be called.
  init(_ request: ListRequest, count: Int, parts: Int, next: [UInt8]?) {
    query = request.query
    done = request.done
    self.next = next
    state = Mutex(State(entries: Array(repeating: nil, count: count), missing: parts))
  }

  /// Adds what one part found, by the places on the page; the last one ends it.
  func add(_ found: [(place: Int, entry: ClientPage.Entry)]) {
    let entries = state.withLock { state -> [ClientPage.Entry]? in
      for (place, entry) in found { state.entries[place] = entry }
      state.missing -= 1
      return state.missing == 0 ? state.entries.compactMap { $0 } : nil
    }
    if let entries { done(.done(ClientPage(entries: entries, next: next))) }
  }
}

extension Worker {
  // MARK: Stored sessions

  /// Asks the store for a page.
  func listStored(_ request: ListRequest, after client: [UInt8]) {
    guard let stored else { return request.done(.unavailable("nothing is stored")) }
    guard !stored.store.isFailing else {
      return request.done(.unavailable(Worker.storeUnavailable))
    }
    guard outside.lists.count < Limits.outsideReads else {
      return request.done(.unavailable("too many lists are asked for at a time"))
    }
    outside.lastListTag += 1
    outside.lists[outside.lastListTag] = request
    stored.add(
      .listSessions(
        SessionListQuery(
          tag: outside.lastListTag, after: client, prefix: request.query.prefix,
          maximum: request.query.maximum)), bytes: client.count + request.query.prefix.count)
  }

  /// The store has found a page: loops that have sessions of it in memory say what they are.
  func take(_ list: SessionList) {
    guard let request = outside.lists.removeValue(forKey: list.tag) else { return }
    let query = request.query
    var parts: [[(place: Int, entry: SessionList.Entry)]] = Array(
      repeating: [], count: broker.mailboxes.count)
    var absent: [(place: Int, entry: ClientPage.Entry)] = []
    for (place, entry) in list.entries.enumerated() where isListed(entry.client.span, query) {
      if let owner = broker.directory.find(entry.client.span) {
        parts[Int(owner.loop)].append((place, entry))
      } else if let entry = Worker.absent(entry, query) {
        absent.append((place, entry))
      }
    }
    var next = ListCursor.memory(loop: 0, slot: 0)
    if !list.isEnd, let last = list.entries.last { next = .stored(after: last.client) }
    let page = PageUnderWay(
      request, count: list.entries.count, parts: 1 + parts.count { !$0.isEmpty }, next: next.bytes)
    for (target, part) in parts.enumerated() where !part.isEmpty {
      if target == number {
        page.add(present(part, query))
      } else {
        broker.mailboxes[target].post(.perform { page.add($0.present(part, page.query)) })
      }
    }
    page.add(absent)
  }

  /// What this loop knows of stored sessions that it had when it was asked.
  private func present(
    _ part: [(place: Int, entry: SessionList.Entry)], _ query: ClientQuery
  ) -> [(place: Int, entry: ClientPage.Entry)] {
    part.compactMap { place, entry in
      if let owner = broker.directory.find(entry.client.span), Int(owner.loop) == number,
        sessions.isStored(owner.slot)
      {
        guard matches(owner.slot, query) else { return nil }
        return (place, self.entry(owner.slot))
      }
      // It was parked meanwhile, or is being read.
      return Worker.absent(entry, query).map { (place, $0) }
    }
  }

  /// A session that is in the store alone; nil where those are not asked for. The tenant is known of
  /// sessions in memory only.
  private static func absent(
    _ entry: SessionList.Entry, _ query: ClientQuery
  ) -> ClientPage.Entry? {
    guard !query.isConnected, query.tenant.isEmpty else { return nil }
    return ClientPage.Entry(
      client: HookedClient(clientID: entry.client, version: entry.version), isConnected: false,
      isStored: true)
  }

  // MARK: Sessions in memory

  /// A page of the sessions here that are not stored, from a slot on.
  func listMemory(_ query: ClientQuery, from first: UInt32) -> ClientPage {
    var entries: [ClientPage.Entry] = []
    var slot = max(1, first)
    let limit = sessions.records.limit
    let (sum, isAtEnd) = slot.addingReportingOverflow(UInt32(Limits.slotsPerTurn))
    let end = isAtEnd ? limit : min(limit, sum)
    while slot < end && entries.count < query.maximum {
      if isInMemoryAlone(slot) && matches(slot, query) {
        let entry = entry(slot)
        if isListed(entry.client.clientID.span, query) { entries.append(entry) }
      }
      slot += 1
    }
    var next: ListCursor?
    if slot < limit {
      next = .memory(loop: number, slot: slot)
    } else if number + 1 < broker.mailboxes.count {
      next = .memory(loop: number + 1, slot: 0)
    }
    return ClientPage(entries: entries, next: next?.bytes)
  }

  private func isInMemoryAlone(_ session: UInt32) -> Bool {
    sessions.records[session].generation != 0 && !sessions.isStored(session)
      && !isArriving(session)
  }

  // MARK: Both

  private func entry(_ session: UInt32) -> ClientPage.Entry {
    ClientPage.Entry(
      client: hookedClient(session), isConnected: sessions.records[session].connection != 0,
      isStored: sessions.isStored(session))
  }

  private func matches(_ session: UInt32, _ query: ClientQuery) -> Bool {
    if query.isConnected && sessions.records[session].connection == 0 { return false }
    return query.tenant.isEmpty || identities[session]?.tenant == query.tenant
  }

  /// Whether a client id is asked for. Servers of this process are no clients for anybody who does not ask
  /// for them by name.
  private func isListed(_ client: Span<UInt8>, _ query: ClientQuery) -> Bool {
    guard client.count >= query.prefix.count else { return false }
    for place in query.prefix.indices where client[place] != query.prefix[place] { return false }
    return !Worker.isOfBackend(client) || Worker.isOfBackend(query.prefix.span)
  }
}

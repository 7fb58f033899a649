import Util

/// The shared subscriptions, `$share/{name}/{filter}`, whose home is one loop.
///
/// A message for a group goes to one member (MQTT 5, 4.8.2), so one loop must choose: the group's
/// home, which all loops compute alike. There, one record in the `SubscriptionTable` stands
/// for the group, with its slot in the place of a session. Groups are few, so these are
/// ordinary arrays; choosing a member allocates nothing. One thread uses it.
public final class ShareGroups {
  /// What identifies a group: a name has no separator, so that the two parts stay apart.
  private static func key(_ name: Span<UInt8>, _ filter: Span<UInt8>) -> [UInt8] {
    var key: [UInt8] = []
    key.reserveCapacity(name.count + 1 + filter.count)
    for index in 0..<name.count { key.append(name[index]) }
    key.append(TopicByte.separator)
    for index in 0..<filter.count { key.append(filter[index]) }
    return key
  }

  /// What a join did.
  public struct JoinOutcome: Equatable, BitwiseCopyable, Sendable {
    /// The group.
    public var group: UInt32
    /// True when the group was made for this member: the caller adds its subscription.
    public var isNewGroup: Bool
    /// False when the member was there, and its options were replaced.
    public var isNewMember: Bool
  }

  // Slot 0 is never used: it stands for none, as in the slabs.
  private var groups: [ShareGroup?] = [nil]
  private var freeSlots: [UInt32] = []
  private var slots: [[UInt8]: UInt32] = [:]
  private var lastSerial: UInt32 = 0

  /// No groups.
  public init() {}

  /// Number of groups.
  public var count: Int { slots.count }

  /// The loop that chooses for a group, of `loops` loops: the same on each loop of a process.
  /// - Parameter seed: the same for all loops.
  public static func home(
    group name: Span<UInt8>, filter: Span<UInt8>, loops: Int, seed: HashSeed
  ) -> Int {
    precondition(loops > 0)
    let both = mix(hashBytes(name, seed: seed) &+ 1, hashBytes(filter, seed: seed))
    return Int(both % UInt64(loops))
  }

  /// The slot of a group; 0 when there is none.
  public func find(group name: Span<UInt8>, filter: Span<UInt8>) -> UInt32 {
    slots[ShareGroups.key(name, filter)] ?? 0
  }

  /// Adds a member to a group, which is made if need be, or replaces what is known of the member.
  public func join(
    group name: Span<UInt8>, filter: Span<UInt8>, member: ShareMember
  ) -> JoinOutcome {
    let key = ShareGroups.key(name, filter)
    if let slot = slots[key] {
      let isNew = groups[Int(slot)]?.join(member) ?? false
      return JoinOutcome(group: slot, isNewGroup: false, isNewMember: isNew)
    }
    lastSerial = lastSerial == .max ? 1 : lastSerial + 1
    var group = ShareGroup(
      name: Array(key.prefix(name.count)), filter: Array(key.suffix(filter.count)),
      serial: lastSerial)
    _ = group.join(member)
    let slot: UInt32
    if let free = freeSlots.popLast() {
      slot = free
      groups[Int(slot)] = group
    } else {
      slot = UInt32(groups.count)
      groups.append(group)
    }
    slots[key] = slot
    return JoinOutcome(group: slot, isNewGroup: true, isNewMember: true)
  }

  /// What a leave did.
  public enum LeaveOutcome: Equatable, Sendable {
    /// There was no such group or member.
    case notFound
    /// Others are left.
    case left
    /// It was the last; the group is gone, and the caller removes its subscription.
    case groupEnded(subscription: UInt32)
  }

  /// Removes a member from a group.
  public func leave(
    group name: Span<UInt8>, filter: Span<UInt8>, loop: UInt8, session: UInt32
  ) -> LeaveOutcome {
    guard let slot = slots[ShareGroups.key(name, filter)] else { return .notFound }
    return leave(slot, ShareMember.key(loop: loop, session: session))
  }

  /// Removes a session from all groups. Asks each group: a session that knows its groups
  /// leaves them one by one.
  /// - Parameter ended: called with the subscription of each group that ended.
  public func leaveAll(loop: UInt8, session: UInt32, ended: (UInt32) -> Void) {
    let key = ShareMember.key(loop: loop, session: session)
    for slot in 1..<max(1, groups.count) {
      if case .groupEnded(let subscription) = leave(UInt32(slot), key) { ended(subscription) }
    }
  }

  private func leave(_ slot: UInt32, _ key: UInt64) -> LeaveOutcome {
    guard groups[Int(slot)]?.leave(key) == true, let group = groups[Int(slot)] else {
      return .notFound
    }
    guard group.members.isEmpty else { return .left }
    slots[group.name + [TopicByte.separator] + group.filter] = nil
    groups[Int(slot)] = nil
    freeSlots.append(slot)
    return .groupEnded(subscription: group.subscription)
  }

  /// Remembers the subscription that stands for a group in use.
  public func setSubscription(_ subscription: UInt32, of group: UInt32) {
    groups[Int(group)]?.subscription = subscription
  }

  /// The subscription that stands for a group in use; 0 before it was set.
  public func subscription(of group: UInt32) -> UInt32 {
    groups[Int(group)]?.subscription ?? 0
  }

  /// What tells a group from a later one in the same slot, for who names it by slot across turns;
  /// 0 for a group that is gone.
  public func serial(of group: UInt32) -> UInt32 {
    Int(group) < groups.count ? groups[Int(group)]?.serial ?? 0 : 0
  }

  /// The whole text of a group in use, `$share/{name}/{filter}`.
  public func text(of group: UInt32) -> [UInt8] {
    guard let group = groups[Int(group)] else { return [] }
    return Array("$share/".utf8) + group.name + [TopicByte.separator] + group.filter
  }

  /// How many messages a group's members hold.
  public func held(of group: UInt32) -> Int {
    Int(group) < groups.count ? groups[Int(group)]?.held ?? 0 : 0
  }

  /// A member holds one message more of its group.
  public func hold(_ member: ShareMember, of group: UInt32) {
    groups[Int(group)]?.change(member.key, by: 1)
  }

  /// A member holds fewer messages of its group; nothing happens where it is not a member any more.
  public func drop(_ count: Int, loop: UInt8, session: UInt32, generation: UInt32, of group: UInt32)
  {
    let key = ShareMember.key(loop: loop, session: session)
    guard Int(group) < groups.count, groups[Int(group)]?.generation(of: key) == generation else {
      return
    }
    groups[Int(group)]?.change(key, by: -count)
  }

  /// How many messages more the members take for which `isReady` holds, up to a limit.
  public func room(
    of group: UInt32, upTo limit: Int, where isReady: (ShareMember) -> Bool
  ) -> Int {
    guard Int(group) < groups.count, let members = groups[Int(group)]?.members else { return 0 }
    var sum = 0
    for member in members where isReady(member) {
      sum += member.room
      if sum >= limit { return limit }
    }
    return sum
  }

  /// Whether a group has a member for which `isReady` holds.
  public func hasMember(of group: UInt32, where isReady: (ShareMember) -> Bool) -> Bool {
    guard Int(group) < groups.count, let members = groups[Int(group)]?.members else { return false }
    return members.contains { isReady($0) }
  }

  /// Whether a group has one member, and which it is.
  public func isOnlyMember(of group: UInt32, loop: UInt8, session: UInt32) -> Bool {
    guard Int(group) < groups.count, let members = groups[Int(group)]?.members else { return false }
    return members.count == 1 && members[0].key == ShareMember.key(loop: loop, session: session)
  }

  /// Number of members; 0 for a group that is gone.
  public func memberCount(of group: UInt32) -> Int {
    Int(group) < groups.count ? groups[Int(group)]?.members.count ?? 0 : 0
  }

  /// The member whose turn it is, of those for which `isReady` holds; nil when there is none.
  ///
  /// Members take turns. One that is not ready is passed over and not made up for, so that a
  /// member that comes back is not flooded.
  public func next(
    of group: UInt32, where isReady: (ShareMember) -> Bool = { _ in true }
  ) -> ShareMember? {
    guard Int(group) < groups.count, let count = groups[Int(group)]?.members.count, count > 0,
      var place = groups[Int(group)]?.turn
    else { return nil }
    for _ in 0..<count {
      guard let member = groups[Int(group)]?.members[place] else { return nil }
      place = place + 1 == count ? 0 : place + 1
      if isReady(member) {
        groups[Int(group)]?.turn = place
        return member
      }
    }
    return nil
  }
}

import Util

/// A session's part in a shared subscription.
public struct ShareMember: Equatable, BitwiseCopyable, Sendable {
  /// Slot of the session on its loop.
  public var session: UInt32
  /// Generation of that slot, so that a message for a session that is gone is noticed.
  public var generation: UInt32
  /// Subscription identifier; 0 when there is none.
  public var identifier: UInt32
  /// The loop of the session, 0 to 63.
  public var loop: UInt8
  /// Subscription options as on the wire.
  public var options: UInt8
  /// Messages of a stored group that it may hold at a time.
  public var quota: UInt16
  /// Messages of a stored group that it holds: counted where the group is.
  public internal(set) var held: UInt16 = 0
  /// Changes when the session leaves a group or has less of it, so that a message that was on its way
  /// to it is told.
  public var epoch: UInt32

  /// A member; see the properties.
  public init(
    loop: UInt8, session: UInt32, generation: UInt32, options: UInt8, identifier: UInt32,
    quota: UInt16 = .max, epoch: UInt32 = 0
  ) {
    self.loop = loop
    self.session = session
    self.generation = generation
    self.options = options
    self.identifier = identifier
    self.quota = quota
    self.epoch = epoch
  }

  /// How many more messages it may hold.
  public var room: Int { quota > held ? Int(quota - held) : 0 }

  /// What a member is found by in its group.
  static func key(loop: UInt8, session: UInt32) -> UInt64 {
    UInt64(loop) << 32 | UInt64(session)
  }

  var key: UInt64 { ShareMember.key(loop: loop, session: session) }
}

/// A shared subscription and the sessions that share it.
struct ShareGroup {
  let name: [UInt8]
  let filter: [UInt8]
  /// Differs for each group of a `ShareGroups`.
  let serial: UInt32
  /// The slot of the subscription that stands for the group; 0 until the caller has made it.
  var subscription: UInt32 = 0
  var members: [ShareMember] = []
  /// Where each member is in `members`, so that a thousand disconnects are not a million steps.
  var places: [UInt64: Int] = [:]
  /// The member whose turn it is.
  var turn = 0
  /// Messages that its members hold.
  private(set) var held = 0

  init(name: [UInt8], filter: [UInt8], serial: UInt32) {
    self.name = name
    self.filter = filter
    self.serial = serial
  }

  /// Adds a member, or replaces the options of the one that has its loop and session. True when it
  /// is new.
  mutating func join(_ member: ShareMember) -> Bool {
    if let place = places[member.key] {
      let old = members[place]
      members[place] = member
      if old.generation == member.generation {
        members[place].held = old.held
      } else {
        held -= Int(old.held)
      }
      return false
    }
    places[member.key] = members.count
    members.append(member)
    return true
  }

  /// Removes a member; false when it was none. The last member takes its place, which costs that
  /// one at most one turn.
  mutating func leave(_ key: UInt64) -> Bool {
    guard let place = places.removeValue(forKey: key) else { return false }
    held -= Int(members[place].held)
    let last = members.removeLast()
    if place < members.count {
      members[place] = last
      places[last.key] = place
    }
    if turn >= members.count { turn = 0 }
    return true
  }

  /// Adds to what a member holds.
  mutating func change(_ key: UInt64, by count: Int) {
    guard let place = places[key] else { return }
    let before = members[place].held
    members[place].held = UInt16(clamping: Int(before) + count)
    held += Int(members[place].held) - Int(before)
  }

  /// The generation of a member; 0 where it is none.
  func generation(of key: UInt64) -> UInt32 {
    places[key].map { members[$0].generation } ?? 0
  }
}

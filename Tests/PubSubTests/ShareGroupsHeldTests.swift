import PubSub
import Testing
import Util

/// What members hold of the messages of a group.
@Suite struct ShareGroupsHeldTests {
  private func member(
    _ session: UInt32, loop: UInt8 = 0, generation: UInt32 = 1, quota: UInt16 = 3
  ) -> ShareMember {
    ShareMember(
      loop: loop, session: session, generation: generation, options: 1, identifier: 0,
      quota: quota)
  }

  @discardableResult
  private func join(_ groups: ShareGroups, _ member: ShareMember, name: String = "g") -> UInt32 {
    groups.join(group: name.bytes.span, filter: "a/+".bytes.span, member: member).group
  }

  private func leave(_ groups: ShareGroups, _ session: UInt32, loop: UInt8 = 0) {
    _ = groups.leave(
      group: "g".bytes.span, filter: "a/+".bytes.span, loop: loop, session: session)
  }

  private func drop(
    _ groups: ShareGroups, _ count: Int, _ session: UInt32, loop: UInt8 = 0,
    generation: UInt32 = 1, of group: UInt32
  ) {
    groups.drop(count, loop: loop, session: session, generation: generation, of: group)
  }

  private func room(_ groups: ShareGroups, _ group: UInt32, upTo limit: Int = 1000) -> Int {
    groups.room(of: group, upTo: limit) { _ in true }
  }

  @Test func membersHoldUpToTheirQuota() {
    let groups = ShareGroups()
    let one = member(1, quota: 2)
    let group = join(groups, one)
    join(groups, member(2, quota: 5))
    #expect(room(groups, group) == 7 && groups.held(of: group) == 0)
    groups.hold(one, of: group)
    groups.hold(one, of: group)
    #expect(groups.held(of: group) == 2 && room(groups, group) == 5)
    // Who is chosen shows what it holds.
    let chosen = (0..<2).compactMap { _ in groups.next(of: group) }
    #expect(chosen.map(\.held) == [2, 0] && chosen.map(\.room) == [0, 5])
    // More than it may: there is no room then, and no less than none.
    groups.hold(one, of: group)
    #expect(groups.held(of: group) == 3 && room(groups, group) == 5)
    drop(groups, 2, 1, of: group)
    #expect(groups.held(of: group) == 1 && room(groups, group) == 6)
    // Fewer than none are not held.
    drop(groups, 9, 1, of: group)
    #expect(groups.held(of: group) == 0 && room(groups, group) == 7)
  }

  @Test func roomIsOfThoseWhoAreReadyAndLimited() {
    let groups = ShareGroups()
    let group = join(groups, member(1, quota: 2))
    join(groups, member(2, loop: 1, quota: 4))
    join(groups, member(3, quota: .max))
    #expect(groups.room(of: group, upTo: 10) { $0.session != 3 } == 6)
    #expect(groups.room(of: group, upTo: 5) { $0.session != 3 } == 5)
    #expect(groups.room(of: group, upTo: 10) { _ in true } == 10)
    #expect(groups.room(of: group, upTo: 10) { _ in false } == 0)
    #expect(groups.room(of: group + 1, upTo: 10) { _ in true } == 0)
  }

  @Test func joiningAgainKeepsWhatTheSameSessionHolds() {
    let groups = ShareGroups()
    let group = join(groups, member(1))
    join(groups, member(2))
    for _ in 0..<2 { groups.hold(member(1), of: group) }
    groups.hold(member(2), of: group)
    // The same session with another quota, as when its client is back.
    join(groups, member(1, quota: 10))
    #expect(groups.held(of: group) == 3 && room(groups, group) == 8 + 2)
    // Another session in its slot holds nothing yet, and what its predecessor is done with does not
    // count for it.
    join(groups, member(1, generation: 2, quota: 10))
    #expect(groups.held(of: group) == 1 && room(groups, group) == 10 + 2)
    groups.hold(member(1, generation: 2), of: group)
    drop(groups, 1, 1, generation: 1, of: group)
    #expect(groups.held(of: group) == 2)
    drop(groups, 1, 1, generation: 2, of: group)
    #expect(groups.held(of: group) == 1)
  }

  @Test func whoLeavesHoldsNothing() {
    let groups = ShareGroups()
    let group = join(groups, member(1))
    join(groups, member(2))
    join(groups, member(2, loop: 1))
    for one in [member(1), member(2), member(2, loop: 1), member(2, loop: 1)] {
      groups.hold(one, of: group)
    }
    leave(groups, 2, loop: 1)
    #expect(groups.held(of: group) == 2)
    // The last one takes the place of the one that leaves, with what it holds.
    leave(groups, 1)
    #expect(groups.held(of: group) == 1 && room(groups, group) == 2)
    drop(groups, 1, 1, of: group)
    groups.hold(member(1), of: group)
    #expect(groups.held(of: group) == 1)
    drop(groups, 1, 2, of: group)
    #expect(groups.held(of: group) == 0 && room(groups, group) == 3)
    // It comes back, of the same generation or not, with nothing.
    groups.hold(member(2), of: group)
    leave(groups, 2)
    #expect(groups.held(of: group) == 0)
    drop(groups, 1, 2, of: group)
    let second = join(groups, member(2))
    #expect(groups.held(of: second) == 0 && room(groups, second) == 3)
  }

  @Test func theOnlyMember() {
    let groups = ShareGroups()
    let group = join(groups, member(1, loop: 1))
    #expect(groups.isOnlyMember(of: group, loop: 1, session: 1))
    #expect(!groups.isOnlyMember(of: group, loop: 0, session: 1))
    #expect(!groups.isOnlyMember(of: group, loop: 1, session: 2))
    join(groups, member(2, loop: 1))
    #expect(!groups.isOnlyMember(of: group, loop: 1, session: 1))
    leave(groups, 1, loop: 1)
    #expect(groups.isOnlyMember(of: group, loop: 1, session: 2))
    leave(groups, 2, loop: 1)
    #expect(!groups.isOnlyMember(of: group, loop: 1, session: 2))
    #expect(!groups.isOnlyMember(of: 99, loop: 1, session: 2) && groups.held(of: 99) == 0)
  }

  @Test func texts() {
    let groups = ShareGroups()
    let one = join(groups, member(1), name: "group")
    let filter = "/#".bytes
    let other = groups.join(group: "g".bytes.span, filter: filter.span, member: member(1)).group
    #expect(groups.text(of: one) == "$share/group/a/+".bytes)
    #expect(groups.text(of: other) == "$share/g//#".bytes)
  }

  /// Beside a table of who holds how many.
  @Test(arguments: [1, 2, 3] as [UInt64]) func schedules(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }
    let groups = ShareGroups()
    var model: [UInt32: (member: ShareMember, held: Int)] = [:]
    var group: UInt32 = 0
    for step in 0..<5000 {
      let session = UInt32(1 + below(5))
      let generation = UInt32(1 + below(2))
      let present = model[session]
      switch below(8) {
      case 0:
        let new = member(session, generation: generation, quota: UInt16(below(6)))
        group = join(groups, new)
        let isSame = present?.member.generation == generation
        model[session] = (new, isSame ? present?.held ?? 0 : 0)
      case 1 where below(3) == 0:
        leave(groups, session)
        model[session] = nil
      case 2...4:
        guard let present else { continue }
        groups.hold(present.member, of: group)
        model[session]?.held += 1
      default:
        guard group != 0 else { continue }
        let count = 1 + below(3)
        drop(groups, count, session, generation: generation, of: group)
        if present?.member.generation == generation {
          model[session]?.held = max(0, (present?.held ?? 0) - count)
        }
      }
      let sum = model.values.reduce(0) { $0 + $1.held }
      let free = model.values.reduce(0) { $0 + max(0, Int($1.member.quota) - $1.held) }
      #expect(
        groups.held(of: group) == sum && room(groups, group) == free, "seed \(seed), step \(step)")
    }
  }
}

import PubSub
import Testing
import Util

@Suite struct ShareGroupsTests {
  private func member(_ session: UInt32, loop: UInt8 = 0, options: UInt8 = 0) -> ShareMember {
    ShareMember(loop: loop, session: session, generation: 1, options: options, identifier: 0)
  }

  private func join(_ groups: ShareGroups, _ member: ShareMember, name: String = "g")
    -> ShareGroups.JoinOutcome
  {
    groups.join(group: name.bytes.span, filter: "a/+".bytes.span, member: member)
  }

  private func leave(_ groups: ShareGroups, _ session: UInt32, loop: UInt8 = 0, name: String = "g")
    -> ShareGroups.LeaveOutcome
  {
    groups.leave(
      group: name.bytes.span, filter: "a/+".bytes.span, loop: loop, session: session)
  }

  @Test func membersTakeTurns() {
    let groups = ShareGroups()
    let group = join(groups, member(1)).group
    let second = join(groups, member(2))
    #expect(second.group == group && !second.isNewGroup && second.isNewMember)
    #expect(join(groups, member(3)).group == group)
    let chosen = (0..<9).compactMap { _ in groups.next(of: group)?.session }
    #expect(chosen == [1, 2, 3, 1, 2, 3, 1, 2, 3])
    let ready = (0..<4).compactMap { _ in groups.next(of: group) { $0.session != 2 }?.session }
    #expect(ready == [1, 3, 1, 3])
    #expect(groups.next(of: group) { _ in false } == nil)
    #expect(groups.next(of: group + 1) == nil)
  }

  @Test func joiningAgainReplaces() {
    let groups = ShareGroups()
    let group = join(groups, member(1, options: 1)).group
    #expect(join(groups, member(1, options: 2)).isNewMember == false)
    // The same slot on another loop is another session.
    #expect(join(groups, member(1, loop: 1, options: 0)).isNewMember)
    #expect(groups.memberCount(of: group) == 2)
    #expect(groups.next(of: group)?.options == 2)
  }

  @Test func groupsEnd() {
    let groups = ShareGroups()
    let first = join(groups, member(1))
    #expect(first.isNewGroup && first.isNewMember)
    groups.setSubscription(77, of: first.group)
    let other = join(groups, member(1), name: "h").group
    #expect(other != first.group && groups.count == 2)
    #expect(leave(groups, 9) == .notFound)
    #expect(leave(groups, 1, name: "x") == .notFound)
    #expect(leave(groups, 1) == .groupEnded(subscription: 77))
    #expect(groups.find(group: "g".bytes.span, filter: "a/+".bytes.span) == 0)
    #expect(groups.memberCount(of: first.group) == 0)
    // Its slot is used again, and knows nothing of the old group.
    let third = join(groups, member(5), name: "i").group
    #expect(third == first.group && groups.subscription(of: third) == 0)
    var ended: [UInt32] = []
    groups.setSubscription(88, of: other)
    groups.leaveAll(loop: 0, session: 1) { ended.append($0) }
    #expect(ended == [88] && groups.count == 1)
  }

  /// Whoever comes and goes, those who stay are served evenly.
  @Test(arguments: [21, 22] as [UInt64])
  func fairUnderChange(seed: UInt64) {
    var source = TopicSource(seed: seed)
    let groups = ShareGroups()
    let group = join(groups, member(1)).group
    for session in UInt32(2)...10 { _ = join(groups, member(session)) }
    var served: [UInt32: Int] = [:]
    var guests: Set<UInt32> = []
    let rounds = 20_000
    for step in 0..<rounds {
      if let next = groups.next(of: group) { served[next.session, default: 0] += 1 }
      guard step % 50 == 0 else { continue }
      let guest = UInt32(100 + source.below(10))
      if guests.contains(guest) {
        #expect(leave(groups, guest) == .left)
        guests.remove(guest)
      } else {
        _ = join(groups, member(guest))
        guests.insert(guest)
      }
      #expect(groups.memberCount(of: group) == 10 + guests.count)
    }
    let stayed = (UInt32(1)...10).map { served[$0] ?? 0 }
    let least = stayed.min() ?? 0
    let most = stayed.max() ?? 0
    #expect(least > rounds / 25 && most - least < rounds / 100, "seed \(seed): \(stayed)")
  }

  @Test func homesSpread() {
    var counts = [Int](repeating: 0, count: 8)
    for number in 0..<8000 {
      let filter = "f/\(number)".bytes
      let home = ShareGroups.home(
        group: "g".bytes.span, filter: filter.span, loops: 8, seed: testSeed)
      #expect(
        home
          == ShareGroups.home(
            group: "g".bytes.span, filter: filter.span, loops: 8, seed: testSeed))
      counts[home] += 1
    }
    #expect(counts.allSatisfy { $0 > 800 && $0 < 1200 }, "\(counts)")
  }
}

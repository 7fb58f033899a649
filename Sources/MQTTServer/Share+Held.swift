import Net
import Packet
import PubSub
import Session
import Store
import Util

/// A message of a stored group that a session here holds.
struct HandedKey: Hashable {
  var sequence: UInt64
  var session: UInt32
  /// Told apart where one session holds a message for several of its groups.
  var number: UInt32 = 0
}

/// Whose message it is.
struct Handed {
  /// The group at its home.
  var group: UInt32
  var serial: UInt32
  var home: UInt8
  /// Whether the session is not stored: the group holds a message of QoS 1 until the session is done,
  /// and gives one of QoS 2 up before it is sent, since no other member may get it then
  /// [MQTT-4.8.2-5].
  var isGuest: Bool
  var id: StoredGroupID

  /// Stands for the home where none counts the message.
  static var nowhere: UInt8 { .max }
}

/// Members that hold fewer messages, for the home of their groups.
struct ShareCredit: Sendable {
  var group: UInt32
  var serial: UInt32
  var session: UInt32
  var generation: UInt32
  var count: Int
}

/// A message that a member could not take, for the home of its group.
struct ShareReturn: Sendable {
  var group: UInt32
  var serial: UInt32
  var id: StoredGroupID
  var sequence: UInt64
  /// The member.
  var loop: UInt8
  var session: UInt32
  var generation: UInt32
}

/// What sessions here hold of shared subscriptions in the log, and how the homes of the groups learn that
/// they are done with it, or that others have to be.
extension Worker {
  func note(_ handed: Handed, _ session: UInt32, _ sequence: UInt64) {
    var key = HandedKey(sequence: sequence, session: session)
    while self.handed[key] != nil { key.number += 1 }
    self.handed[key] = handed
  }

  /// Whose message a session holds, which it holds no longer; nil where it never did, because the log had
  /// the message no more. Of several groups that gave it, the first: sessions are done with messages in the
  /// order in which they come, mostly.
  private func takeHanded(_ session: UInt32, _ sequence: UInt64) -> Handed? {
    var key = HandedKey(sequence: sequence, session: session)
    guard let first = handed.removeValue(forKey: key) else { return nil }
    var next = HandedKey(sequence: sequence, session: session, number: 1)
    while let later = handed.removeValue(forKey: next) {
      handed[key] = later
      key = next
      next.number += 1
    }
    return first
  }

  /// A session is done with a message of a group.
  func sharedFinished(_ session: UInt32, _ sequence: UInt64) {
    guard let handed = takeHanded(session, sequence) else {
      stored?.add(.release(sequence: sequence, count: 1))
      return
    }
    if handed.isGuest {
      // Of QoS 2 the group has given up already, and this does nothing.
      stored?.add(.settle(handed.id, sequence: sequence))
    } else {
      stored?.add(.release(sequence: sequence, count: 1))
    }
    guard handed.home != Handed.nowhere else { return }
    let credit = ShareCredit(
      group: handed.group, serial: handed.serial, session: session,
      generation: sessions.records[session].generation, count: 1)
    if let last = credits[handed.home]?.indices.last,
      credits[handed.home]?[last].session == session,
      credits[handed.home]?[last].group == handed.group,
      credits[handed.home]?[last].serial == handed.serial
    {
      credits[handed.home]?[last].count += 1
    } else {
      credits[handed.home, default: []].append(credit)
    }
  }

  /// Tells the homes of groups what members here are done with.
  func postCredits() {
    guard !credits.isEmpty else { return }
    let told = credits
    credits.removeAll(keepingCapacity: true)
    for (home, list) in told {
      if Int(home) == number {
        takeCredits(list, loop: home)
      } else {
        post(.shareCredits(list, loop: UInt8(number)), to: Int(home))
      }
    }
  }

  /// Members of groups here are done with messages.
  func takeCredits(_ list: [ShareCredit], loop: UInt8) {
    for credit in list where shares.serial(of: credit.group) == credit.serial {
      shares.drop(
        credit.count, loop: loop, session: credit.session, generation: credit.generation,
        of: credit.group)
      serve(credit.group)
    }
  }

  /// A member could not take a message of a group here, or it was not stored and has ended.
  func takeReturn(_ part: ShareReturn) {
    guard let log = groupLogs[part.group], log.serial == part.serial else { return }
    shares.drop(
      1, loop: part.loop, session: part.session, generation: part.generation, of: part.group)
    takeReturn(part.group, part.id, part.sequence)
  }

  /// The store gives a group a message back.
  func takeReturn(_ asker: Asker, _ id: StoredGroupID, _ sequence: UInt64) {
    if isCurrent(asker) { takeReturn(asker.slot, id, sequence) }
  }

  private func takeReturn(_ group: UInt32, _ id: StoredGroupID, _ sequence: UInt64) {
    guard let log = groupLogs[group], log.id == id else { return }
    groupLogs[group]?.returned.insertRising(sequence)
    groupLogs[group]?.isLive = false
    serve(group)
  }

  // MARK: Members that go

  /// Before a stored session ends: what it holds of its groups is for their other members again.
  func giveBackShared(_ session: UInt32) {
    guard let stored, sessions.records[session].flags.contains(.isShareMember) else { return }
    sessions.forEachShared(session) { delivery in
      guard delivery.sequence != 0, delivery.mayGoToAnother else { return }
      guard let handed = takeHanded(session, delivery.sequence) else { return }
      stored.add(.giveBack(sessions.storedID(session), handed.id, sequence: delivery.sequence))
    }
  }

  /// The group of each message of a window that came through one.
  func nameGroups(of session: UInt32, in window: inout [WindowEntry]) {
    guard !handed.isEmpty, sessions.records[session].flags.contains(.isShareMember) else { return }
    for place in window.indices where window[place].isShared && window[place].sequence != 0 {
      var key = HandedKey(sequence: window[place].sequence, session: session)
      // One that several groups gave is named once for each.
      let isOfSeveral =
        handed[HandedKey(sequence: key.sequence, session: session, number: 1)] != nil
      if isOfSeveral {
        for before in window[..<place] where before.isShared && before.sequence == key.sequence {
          key.number += 1
        }
      }
      window[place].group = handed[key]?.id ?? 0
    }
  }

  /// Notes whose messages a session holds that comes from the store. No home counts them: they were
  /// handed out by another process, or before the session was parked.
  func restoreGroups(of session: UInt32, _ window: [WindowEntry]) {
    for entry in window where entry.isShared && entry.sequence != 0 {
      let handed = Handed(
        group: 0, serial: 0, home: Handed.nowhere, isGuest: false, id: entry.group)
      note(handed, session, entry.sequence)
      // It has something to give back, though it may have left all groups.
      sessions.records[session].flags.insert(.isShareMember)
    }
  }

  /// Forgets what a session holds of groups, which is about to leave memory. What a group still holds,
  /// because the session is not stored, goes back to it.
  func forgetHanded(_ session: UInt32) {
    guard !handed.isEmpty else { return }
    sessions.forEachShared(session) { delivery in
      guard delivery.sequence != 0, let handed = takeHanded(session, delivery.sequence),
        handed.isGuest
      else { return }
      guard delivery.qos == .atLeastOnce else {
        // The group has given it up. The client may have it, so that no other may, unless it waits
        // still.
        if delivery.mayGoToAnother {
          sessions.messages.withView(delivery.message) { passOn($0, handed) }
        }
        return
      }
      let part = ShareReturn(
        group: handed.group, serial: handed.serial, id: handed.id, sequence: delivery.sequence,
        loop: UInt8(number), session: session,
        generation: sessions.records[session].generation)
      if Int(handed.home) == number {
        takeReturn(part)
      } else {
        post(.shareReturned(part), to: Int(handed.home))
      }
    }
  }
}

import Net
import Packet
import Session
import Util

extension Worker {
  /// Accepts nobody any more, says goodbye to all clients, and ends when the last has gone or at
  /// the deadline.
  func beginStop(_ deadline: UInt32) {
    guard stopDeadline == 0 else { return }
    stopDeadline = max(deadline, 1)
    loop.stopAccepting()
    let left = stopDeadline > loop.now ? stopDeadline - loop.now : 1
    loop.forEachConnection { slot in
      let session = loop.connections[slot].owner
      if session != 0 {
        goodbye(slot, .serverShuttingDown, nil)
        loop.connections[slot].owner = 0
      }
      connectionGone(slot)
      loop.finish(slot, within: min(left, Limits.lingerTicks))
      if session != 0 {
        sessionLostConnection(
          session, publishesWill: false, .serverShuttingDown, "the server is shutting down")
      }
    }
  }
}

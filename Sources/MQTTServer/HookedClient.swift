import Session
import Util

extension Worker {
  /// What those outside are told of the client of a session.
  func hookedClient(_ session: UInt32) -> HookedClient {
    let record = sessions.records[session]
    let slot = record.connection
    return HookedClient(
      clientID: broker.directory.clientID(record.entry),
      peer: slot == 0 ? "" : "\(loop.peerName(slot))", version: record.version.rawValue,
      identity: identities[session])
  }
}

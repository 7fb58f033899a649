import BifrostAPI
import Foundation
import GRPCCore

/// What the broker calls: which devices may connect, and which messages they have acknowledged.
struct Hooks: Bifrost_V1_Hooks.SimpleServiceProtocol {
  /// What devices log in with. A real backend asks its database, and compares hashes.
  static let passwords = ["kitchen": "soup", "garage": "oil"]

  let acknowledgements: Acknowledgements

  /// A device wants to connect.
  func onConnect(
    request: Bifrost_V1_OnConnectRequest, context: ServerContext
  ) async throws -> Bifrost_V1_OnConnectResponse {
    let client = request.client
    var response = Bifrost_V1_OnConnectResponse()
    guard let password = Self.passwords[client.userName], request.password == Data(password.utf8)
    else {
      say("backend: refused \(client.clientID): wrong user name or password")
      response.refuse = .with { $0.reason = "wrong user name or password" }
      return response
    }
    say("backend: \(client.clientID) may connect")
    response.allow = .with { allow in
      allow.tenant = "house"
      // It may say how it is, and hear what is for it: "%c" stands for its client id.
      allow.acl = [
        .with {
          $0.action = .publish
          $0.filter = "devices/%c/state"
        },
        .with {
          $0.action = .subscribe
          $0.filter = "devices/%c/#"
        },
      ]
    }
    // The broker need not ask again for a minute if the device comes back as it was.
    response.cacheSeconds = 60
    return response
  }

  /// Devices have acknowledged messages. A note may come twice: keys tell.
  func onDelivered(
    request: Bifrost_V1_OnDeliveredRequest, context: ServerContext
  ) async throws -> Bifrost_V1_OnDeliveredResponse {
    for note in request.delivered {
      say("backend: \(note.client.clientID) has it")
      await acknowledgements.add(device: note.client.clientID, key: note.key)
    }
    return Bifrost_V1_OnDeliveredResponse()
  }
}

/// Who has acknowledged what, for those who wait for it.
actor Acknowledgements {
  private struct Entry: Hashable {
    let device: String
    let key: String
  }

  private var seen: Set<Entry> = []
  private var waiting: [Entry: [CheckedContinuation<Void, Never>]] = [:]

  /// A device has acknowledged the message with this key.
  func add(device: String, key: String) {
    let entry = Entry(device: device, key: key)
    seen.insert(entry)
    for waiter in waiting.removeValue(forKey: entry) ?? [] { waiter.resume() }
  }

  /// Waits until a device has acknowledged the message with this key.
  func wait(device: String, key: String) async {
    let entry = Entry(device: device, key: key)
    if seen.contains(entry) { return }
    await withCheckedContinuation { waiting[entry, default: []].append($0) }
  }
}

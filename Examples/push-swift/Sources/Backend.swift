import BifrostAPI
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix

/// A push backend: pushes to one device or to all of them. It knows gRPC, and nothing of MQTT.
struct Backend {
  let publisher: Bifrost_V1_Publisher.Client<HTTP2ClientTransport.Posix>
  let clients: Bifrost_V1_Clients.Client<HTTP2ClientTransport.Posix>

  /// A backend of the broker at the other end of a client.
  init(_ client: GRPCClient<HTTP2ClientTransport.Posix>) {
    publisher = Bifrost_V1_Publisher.Client(wrapping: client)
    clients = Bifrost_V1_Clients.Client(wrapping: client)
  }

  /// Pushes to one device, whether it is connected or will come back. Gives the key that its
  /// acknowledgement will bear; nil where there is no such device.
  func push(to device: String, topic: String, _ text: String) async throws -> String? {
    let key = UUID().uuidString
    let request = Bifrost_V1_PublishRequest.with { request in
      request.message.topic = topic
      request.message.payload = Data(text.utf8)
      request.message.key = key
      request.targets = [.with { $0.clientID = device }]
      // So the call may be made again where its answer was lost: it is not done twice.
      request.idempotencyKey = key
    }
    var options = CallOptions.defaults
    options.timeout = .seconds(10)
    let response = try await publisher.publish(request, options: options)
    guard let result = response.results.first else { throw Failure("the answer has no result") }
    switch result.outcome {
    case .accepted: return key
    case .noSubscribers: return nil
    default: throw Failure("the broker refused it: \(result.reason)")
    }
  }

  /// Sends to all devices that are online, and waits until the last one has it. Gives how many have.
  func broadcast(topic: String, _ text: String) async throws -> UInt64 {
    let request = Bifrost_V1_BroadcastRequest.with { request in
      request.message.topic = topic
      request.message.payload = Data(text.utf8)
      request.everyone = true
    }
    return try await publisher.broadcast(request) { response in
      var acknowledged: UInt64 = 0
      for try await progress in response.messages {
        say("backend: broadcast: \(progress.acknowledged) of \(progress.sent) have it")
        acknowledged = progress.acknowledged
      }
      return acknowledged
    }
  }

  /// Whether a device is connected.
  func isConnected(_ device: String) async throws -> Bool {
    do {
      return try await clients.get(.with { $0.clientID = device }).session.connected
    } catch let error as RPCError where error.code == .notFound {
      return false
    }
  }
}

/// What went wrong, in words.
struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Prints a line at once, also where standard output is a pipe.
func say(_ line: String) {
  FileHandle.standardOutput.write(Data((line + "\n").utf8))
}

import BifrostAPI
import FoundationEssentials
import Session

extension Bifrost_V1_OnConnectRequest {
  init(_ question: ConnectQuestion) {
    self.init()
    client = Bifrost_V1_Client(question.client)
    if let password = question.password {
      hasPassword_p = true
      self.password = Data(password)
    }
    cleanStart = question.cleanStart
    keepAliveSeconds = UInt32(question.keepAlive)
    if let will = question.will { self.will = Bifrost_V1_Message(will) }
    userProperties = Bifrost_V1_UserProperty.all(in: question.userProperties)
  }
}

extension Bifrost_V1_OnSubscribeRequest {
  init(_ question: SubscribeQuestion) {
    self.init()
    client = Bifrost_V1_Client(question.client)
    filters = question.filters.map { asked in
      .with {
        $0.filter = String(decoding: asked.filter, as: UTF8.self)
        $0.qos = Bifrost_V1_Qos(asked.qos)
      }
    }
  }
}

extension Bifrost_V1_OnPublishRequest {
  init(_ questions: [PublishQuestion]) {
    self.init()
    for question in questions {
      let client = Bifrost_V1_Client(question.client)
      messages += question.messages.map { message in
        .with {
          $0.client = client
          $0.message = Bifrost_V1_Message(message)
        }
      }
    }
  }
}

extension Bifrost_V1_Delivered {
  init(_ note: DeliveredNote) {
    self.init()
    client = Bifrost_V1_Client(note.client)
    key = String(decoding: note.key, as: UTF8.self)
    topic = String(decoding: note.topic, as: UTF8.self)
    timeMilliseconds = note.time
  }
}

/// A client has unsubscribed.
struct UnsubscribedNote: Sendable {
  var client: HookedClient
  var filters: [[UInt8]]
}

extension Bifrost_V1_Unsubscribed {
  init(_ note: UnsubscribedNote) {
    self.init()
    client = Bifrost_V1_Client(note.client)
    filters = note.filters.map { String(decoding: $0, as: UTF8.self) }
  }
}

/// A client's connection has ended.
struct DisconnectedNote: Sendable {
  var client: HookedClient
  var end: ConnectionEnd
}

extension Bifrost_V1_ClientDisconnected {
  init(_ note: DisconnectedNote) {
    self.init()
    client = Bifrost_V1_Client(note.client)
    reason = note.end.text
    reasonCode = UInt32(note.end.reason.rawValue)
    timeMilliseconds = note.end.time
  }
}

/// A message is kept for clients that are away.
struct OfflineNote: Sendable {
  var message: OutsideMessage
  var clients: ArraySlice<[UInt8]>
}

extension Bifrost_V1_OfflineMessage {
  init(_ note: OfflineNote) {
    self.init()
    message = Bifrost_V1_Message(note.message)
    clientIds = note.clients.map { String(decoding: $0, as: UTF8.self) }
  }
}

extension OutsideMessage {
  /// Bytes that the message takes while it waits, about.
  var waitingBytes: Int { topic.count + properties.count + payload.count + 128 }
}

extension HookedClient {
  /// Bytes that the client takes while it waits, about; its identity is shared.
  var waitingBytes: Int { clientID.count + userName.count + peer.utf8.count + 128 }
}

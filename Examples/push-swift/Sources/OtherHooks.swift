import BifrostAPI
import GRPCCore

/// The hooks that this backend is not asked: the broker calls only those that its configuration names.
extension Hooks {
  func onSubscribe(
    request: Bifrost_V1_OnSubscribeRequest, context: ServerContext
  ) async throws -> Bifrost_V1_OnSubscribeResponse { throw unimplemented }

  func onPublish(
    request: Bifrost_V1_OnPublishRequest, context: ServerContext
  ) async throws -> Bifrost_V1_OnPublishResponse { throw unimplemented }

  func onUnsubscribe(
    request: Bifrost_V1_OnUnsubscribeRequest, context: ServerContext
  ) async throws -> Bifrost_V1_OnUnsubscribeResponse { throw unimplemented }

  func onDisconnect(
    request: Bifrost_V1_OnDisconnectRequest, context: ServerContext
  ) async throws -> Bifrost_V1_OnDisconnectResponse { throw unimplemented }

  func onOffline(
    request: Bifrost_V1_OnOfflineRequest, context: ServerContext
  ) async throws -> Bifrost_V1_OnOfflineResponse { throw unimplemented }

  private var unimplemented: RPCError {
    RPCError(code: .unimplemented, message: "this backend has no use for it")
  }
}

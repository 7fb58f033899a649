import GRPCCore
import GRPCProtobuf

/// How a call is refused: a status with a `google.rpc.ErrorInfo` of the domain "bifrost".
struct Refusal: Error, RPCErrorConvertible {
  /// The code of the status.
  let code: RPCError.Code
  /// A word that stays the same, for programs.
  let reason: String
  /// In words, for people.
  let message: String
  /// What the reason is about.
  let metadata: [String: String]

  init(
    _ code: RPCError.Code, _ reason: String, _ message: String, _ metadata: [String: String] = [:]
  ) {
    self.code = code
    self.reason = reason
    self.message = message
    self.metadata = metadata
  }

  /// A field of a request is wrong.
  static func field(_ field: String, _ message: String) -> Refusal {
    Refusal(.invalidArgument, "FIELD_INVALID", "\(field): \(message)", ["field": field])
  }

  /// The refusal of a field of a part of a request.
  func within(_ path: String) -> Refusal {
    guard let field = metadata["field"] else { return self }
    return Refusal(code, reason, path + message, ["field": path + field])
  }

  /// The broker refuses a subscription with a reason code of MQTT 5.
  static func filter(_ filter: [UInt8], _ code: UInt8) -> Refusal {
    let text = String(decoding: filter, as: UTF8.self)
    return Refusal(
      .failedPrecondition, "FILTER_REFUSED",
      "the broker refuses \(text) with the reason code \(code)",
      ["filter": text, "reason_code": "\(code)"])
  }

  /// There is no such client, or no connection of it.
  static func noClient(_ message: String) -> Refusal {
    Refusal(.notFound, "CLIENT_NOT_FOUND", message)
  }

  /// The broker stops.
  static let shuttingDown = Refusal(
    .unavailable, "SHUTTING_DOWN", "the broker shuts down; call again")

  private var status: GoogleRPCStatus {
    GoogleRPCStatus(
      code: code, message: message,
      details: .errorInfo(reason: reason, domain: "bifrost", metadata: metadata))
  }

  var rpcErrorCode: RPCError.Code { code }
  var rpcErrorMessage: String { message }
  var rpcErrorMetadata: Metadata { status.rpcErrorMetadata }
}

import BifrostAPI
import FoundationEssentials
import GRPCCore
import SwiftProtobuf

/// The files that describe what is served.
struct ProtoFiles: Sendable {
  /// Each file in its encoded form, by name.
  private let encoded: [String: Data]
  /// What each imports.
  private let imports: [String: [String]]
  /// The file of each message, enumeration, service and method.
  private let files: [String: String]

  /// Whole names of what is served, in order.
  static let services = [
    "bifrost.v1.Clients", "bifrost.v1.Publisher", "bifrost.v1.Subscriber",
    "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
  ]

  /// The files that this program was made from.
  static let own = ProtoFiles()

  private init() {
    var encoded: [String: Data] = [:]
    var imports: [String: [String]] = [:]
    var files: [String: String] = [:]
    let set =
      Data(base64Encoded: encodedFileDescriptorSet)
      .flatMap { try? Google_Protobuf_FileDescriptorSet(serializedBytes: $0) }
    for file in set?.file ?? [] {
      guard let bytes: Data = try? file.serializedBytes() else { continue }
      encoded[file.name] = bytes
      imports[file.name] = file.dependency
      for symbol in Self.symbols(file) { files[symbol] = file.name }
    }
    self.encoded = encoded
    self.imports = imports
    self.files = files
  }

  private static func symbols(_ file: Google_Protobuf_FileDescriptorProto) -> [String] {
    var names: [String] = []
    func add(_ message: Google_Protobuf_DescriptorProto, in scope: String) {
      let name = "\(scope).\(message.name)"
      names.append(name)
      names += message.enumType.map { "\(name).\($0.name)" }
      names += message.field.map { "\(name).\($0.name)" }
      for nested in message.nestedType { add(nested, in: name) }
    }
    for message in file.messageType { add(message, in: file.package) }
    names += file.enumType.map { "\(file.package).\($0.name)" }
    for service in file.service {
      let name = "\(file.package).\(service.name)"
      names.append(name)
      names += service.method.map { "\(name).\($0.name)" }
    }
    return names
  }

  /// A file and what it imports, in their encoded form; nil where there is no file of that name.
  func file(named name: String) -> [Data]? {
    guard encoded[name] != nil else { return nil }
    var names = [name]
    var index = 0
    while index < names.count {
      names += (imports[names[index]] ?? []).filter { !names.contains($0) }
      index += 1
    }
    return names.compactMap { encoded[$0] }
  }

  /// The file that declares a symbol, as `file(named:)`.
  func file(declaring symbol: String) -> [Data]? {
    files[symbol].flatMap { file(named: $0) }
  }
}

/// `grpc.reflection.v1.ServerReflection`.
struct ReflectionService: Grpc_Reflection_V1_ServerReflection.StreamingServiceProtocol {
  let gate: CallGate

  func serverReflectionInfo(
    request: StreamingServerRequest<Grpc_Reflection_V1_ServerReflectionRequest>,
    context: ServerContext
  ) async throws -> StreamingServerResponse<Grpc_Reflection_V1_ServerReflectionResponse> {
    try gate.stream(request, needs: nil) { requests, writer, call in
      for try await request in requests {
        try await call.write(Self.response(request), to: writer)
      }
      try Task.checkCancellation()
    }
  }

  private static func response(
    _ request: Grpc_Reflection_V1_ServerReflectionRequest
  ) -> Grpc_Reflection_V1_ServerReflectionResponse {
    var response = Grpc_Reflection_V1_ServerReflectionResponse()
    response.validHost = request.host
    response.originalRequest = request
    func give(_ files: [Data]?) {
      if let files {
        response.fileDescriptorResponse = .with { $0.fileDescriptorProto = files }
      } else {
        fail(.notFound, "there is nothing of that name")
      }
    }
    func fail(_ code: Status.Code, _ message: String) {
      response.errorResponse = .with {
        $0.errorCode = Int32(code.rawValue)
        $0.errorMessage = message
      }
    }
    switch request.messageRequest {
    case .fileByFilename(let name): give(ProtoFiles.own.file(named: name))
    case .fileContainingSymbol(let symbol): give(ProtoFiles.own.file(declaring: symbol))
    case .fileContainingExtension: fail(.notFound, "there are no extensions")
    case .allExtensionNumbersOfType(let name):
      if ProtoFiles.own.file(declaring: name) == nil {
        fail(.notFound, "there is nothing of that name")
      } else {
        response.allExtensionNumbersResponse = .with { $0.baseTypeName = name }
      }
    case .listServices:
      response.listServicesResponse = .with {
        $0.service = ProtoFiles.services.map { name in .with { $0.name = name } }
      }
    case nil: fail(.invalidArgument, "the request asks for nothing")
    }
    return response
  }
}

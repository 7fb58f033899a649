import FoundationEssentials
import GRPCNIOTransportHTTP2Posix

extension HookTLS {
  /// What the transport makes of it: the backend's certificate has to be signed by the authority, and to bear the name
  /// or the address of its endpoint.
  func transportSecurity() throws(HookError) -> HTTP2ClientTransport.Posix.TransportSecurity {
    guard certificateFile.isEmpty == keyFile.isEmpty else {
      throw HookError("a certificate and its key have to be given together")
    }
    for path in [certificateAuthorityFile, certificateFile, keyFile] where !path.isEmpty {
      guard FileManager.default.isReadableFile(atPath: path) else {
        throw HookError("\(path) can't be read")
      }
    }
    return .tls(
      .defaults { tls in
        tls.trustRoots = .certificates([.file(path: certificateAuthorityFile, format: .pem)])
        if !certificateFile.isEmpty {
          tls.certificateChain = [.file(path: certificateFile, format: .pem)]
          tls.privateKey = .file(path: keyFile, format: .pem)
        }
      })
  }
}

/// Reads the token that backends are shown.
func hookToken(_ path: String) throws(HookError) -> String {
  guard let bytes = FileManager.default.contents(atPath: path) else {
    throw HookError("\(path) can't be read")
  }
  let token = String(decoding: bytes, as: UTF8.self)
    .split(whereSeparator: \.isWhitespace).joined(separator: " ")
  // What a header can carry, and RFC 6750 a token: printing characters without a space.
  guard !token.isEmpty, token.utf8.count <= HookLimits.tokenBytes,
    token.utf8.allSatisfy({ 0x21...0x7E ~= $0 })
  else {
    throw HookError(
      "\(path) is no token: 1 to \(HookLimits.tokenBytes) printing ASCII characters, no space between"
    )
  }
  return token
}

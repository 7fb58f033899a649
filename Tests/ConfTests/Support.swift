import Glibc

@testable import Conf

/// A file in a directory of its own, removed with the value.
final class TemporaryFile {
  let path: String
  private let directory: String

  struct Failure: Error {}

  convenience init(_ text: String) throws { try self.init(bytes: Array(text.utf8)) }

  init(bytes: [UInt8]) throws {
    var template = Array("/tmp/bifrost-conf-XXXXXX".utf8CString)
    // Safe: mkdtemp writes within the terminated template; fopen and fwrite get initialized bytes.
    guard unsafe mkdtemp(&template) != nil else { throw Failure() }
    let name = template.dropLast().map { UInt8(bitPattern: $0) }
    directory = String(decoding: name, as: UTF8.self)
    path = directory + "/bifrost.yaml"
    guard let file = unsafe fopen(path, "w") else { throw Failure() }
    let written = unsafe fwrite(bytes, 1, bytes.count, file)
    guard unsafe fclose(file) == 0, written == bytes.count else { throw Failure() }
  }

  deinit {
    _ = unsafe unlink(path)
    _ = unsafe rmdir(directory)
  }
}

/// A value of a key that is right and not its default.
struct Sample: Sendable, CustomStringConvertible {
  let name: String
  let text: String

  init(_ name: String, _ text: String) {
    self.name = name
    self.text = text
  }

  var description: String { name }

  /// The value with each word of the key's name nested in the one before.
  var nestedYAML: String {
    let words = name.split(separator: ".")
    let lines = words.enumerated().map { String(repeating: "  ", count: $0) + $1 + ":" }
    return lines.joined(separator: "\n") + " \"\(text)\"\n"
  }

  /// What has to be set beside a key, or its value would be refused.
  var companions: [String: String] {
    switch name {
    case "mqtt.tcp.listen": ["BIFROST_AUTH_ANONYMOUS": "true"]
    case "grpc.tls.certificate-file": ["BIFROST_GRPC_TLS_KEY_FILE": "/k"]
    case "grpc.tls.key-file": ["BIFROST_GRPC_TLS_CERTIFICATE_FILE": "/c"]
    case "grpc.tls.client-ca-file":
      ["BIFROST_GRPC_TLS_CERTIFICATE_FILE": "/c", "BIFROST_GRPC_TLS_KEY_FILE": "/k"]
    case "hooks.tls.ca-file":
      ["BIFROST_HOOKS_TLS_CERTIFICATE_FILE": "/c", "BIFROST_HOOKS_TLS_KEY_FILE": "/k"]
    case "hooks.tls.certificate-file":
      ["BIFROST_HOOKS_TLS_CA_FILE": "/a", "BIFROST_HOOKS_TLS_KEY_FILE": "/k"]
    case "hooks.tls.key-file":
      ["BIFROST_HOOKS_TLS_CA_FILE": "/a", "BIFROST_HOOKS_TLS_CERTIFICATE_FILE": "/c"]
    default: [:]
    }
  }

  /// A file with tokens.
  static let tokensPath =
    "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    + "/Vectors/tokens.yaml"

  /// One for each key, in the order of the table.
  static let all = broker + hooks

  private static let broker = [
    Sample("mqtt.tcp.listen", "0.0.0.0:1884,[::]:1884"),
    Sample("mqtt.connect-timeout", "2500ms"),
    Sample("mqtt.max-keep-alive", "10m"),
    Sample("mqtt.max-session-expiry", "0s"),
    Sample("mqtt.max-connections", "1000000"),
    Sample("mqtt.max-packet-size", "268435460"),
    Sample("mqtt.receive-maximum", "65535"),
    Sample("mqtt.max-inflight", "1"),
    Sample("mqtt.max-queued-messages", "0"),
    Sample("mqtt.max-queued-bytes", "1GiB"),
    Sample("mqtt.max-output-bytes", "64KB"),
    Sample("mqtt.topic-alias-maximum", "0"),
    Sample("mqtt.max-subscriptions", "1"),
    Sample("mqtt.max-topic-levels", "8"),
    Sample("mqtt.max-client-id-bytes", "23"),
    Sample("mqtt.max-retained-messages", "0"),
    Sample("mqtt.max-retained-bytes", "0"),
    Sample("mqtt.check-payload-format", "yes"),
    Sample("mqtt.max-qos", "0"),
    Sample("mqtt.retain-available", "off"),
    Sample("mqtt.wildcard-subscriptions", "false"),
    Sample("mqtt.shared-subscriptions", "no"),
    Sample("grpc.listen", "off"),
    Sample("grpc.tls.certificate-file", "/etc/bifrost/server.pem"),
    Sample("grpc.tls.key-file", "/etc/bifrost/server.key"),
    Sample("grpc.tls.client-ca-file", "/etc/bifrost/backends.pem"),
    Sample("grpc.tokens-file", tokensPath),
    Sample("grpc.max-message-bytes", "64KiB"),
    Sample("grpc.max-calls", "1"),
    Sample("grpc.slow-reader-timeout", "500ms"),
    Sample("grpc.broadcast-rate", "1000"),
    Sample("grpc.watch-events", "7"),
    Sample("grpc.watch-keep", "0"),
    Sample("auth.anonymous", "true"),
    Sample("net.loops", "64"),
    Sample("net.private-descriptors", "on"),
    Sample("store.kind", "memory"),
    Sample("store.sync", "normal"),
    Sample("store.max-messages", "1000000"),
    Sample("store.max-bytes", "1GiB"),
    Sample("store.max-session-messages", "5000"),
    Sample("store.max-session-bytes", "1MiB"),
    Sample("store.max-age", "3600s"),
    Sample("session.park-after", "5s"),
    Sample("data-dir", "/srv/bifrost"),
    Sample("log.level", "critical"),
    Sample("log.format", "json"),
    Sample("shutdown.timeout", "1m30s"),
    Sample("sys.interval", "0"),
  ]

  private static let hooks =
    HookName.allCases.flatMap { name -> [Sample] in
      let prefix = "hooks.\(name.rawValue)."
      var samples = [
        Sample(prefix + "endpoints", "backend.example:5052,192.0.2.1:1,[2001:db8::1]:65535"),
        Sample(prefix + "timeout", "1s"),
        Sample(prefix + "retries", "0"),
        Sample(prefix + "max-queued", "7"),
      ]
      if name.isQuestion {
        samples += [Sample(prefix + "max-calls", "1"), Sample(prefix + "on-failure", "wait")]
      }
      if name.hasTopics { samples.append(Sample(prefix + "topics", "devices/+/events,a/#")) }
      return samples
    } + [
      Sample("hooks.tls.ca-file", "/etc/bifrost/ca.pem"),
      Sample("hooks.tls.certificate-file", "/etc/bifrost/broker.pem"),
      Sample("hooks.tls.key-file", "/etc/bifrost/broker.key"),
      Sample("hooks.token-file", "/etc/bifrost/token"),
      Sample("hooks.breaker-failures", "1"),
      Sample("hooks.breaker-pause", "250ms"),
      Sample("hooks.health-interval", "0"),
    ]
}

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

  /// One for each key, in the order of the table.
  static let all = [
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
}

import Conf
import MQTTServer
import Testing
import Util

@testable import Bifrost

@Suite("Options of the server")
struct OptionsTests {
  private func options(_ arguments: String...) throws -> ServerOptions {
    ServerOptions(try LoadedConfiguration(ConfigurationSources(arguments: arguments)).values)
  }

  /// Name and value of every field, and of those of the session's limits.
  private func fields(_ options: ServerOptions) -> [String: String] {
    var result: [String: String] = [:]
    for mirror in [Mirror(reflecting: options), Mirror(reflecting: options.session)] {
      for child in mirror.children where child.label != "session" {
        result[child.label ?? ""] = "\(child.value)"
      }
    }
    return result
  }

  @Test("the defaults of the server are those of the configuration")
  func defaults() throws {
    #expect(fields(try options()) == fields(ServerOptions()))
  }

  @Test("each setting reaches its own field and no other", arguments: changes)
  func mapping(flag: String, field: String, expected: String) throws {
    let before = fields(try options())
    let after = fields(try options(flag))
    #expect(after[field] == expected)
    #expect(after.filter { before[$0.key] != $0.value }.keys.sorted() == [field])
  }

  static let changes: [(String, String, String)] = [
    ("--net-loops=64", "loops", "64"),
    ("--net-private-descriptors=on", "privateDescriptors", "on"),
    ("--net-private-descriptors=off", "privateDescriptors", "off"),
    ("--mqtt-max-connections=5", "maximumConnections", "5"),
    ("--sys-interval=0", "systemIntervalMilliseconds", "0"),
    ("--mqtt-connect-timeout=1s", "connectTimeoutMilliseconds", "1000"),
    ("--mqtt-max-keep-alive=65535s", "maximumKeepAlive", "65535"),
    ("--mqtt-max-session-expiry=4294967294s", "maximumSessionExpiry", "4294967294"),
    ("--mqtt-max-packet-size=2KiB", "maximumPacketSize", "2048"),
    ("--mqtt-max-output-bytes=4KiB", "maximumOutputBytes", "4096"),
    ("--mqtt-topic-alias-maximum=65535", "topicAliasMaximum", "65535"),
    ("--mqtt-max-subscriptions=7", "maximumSubscriptions", "7"),
    ("--mqtt-max-topic-levels=7", "maximumTopicLevels", "7"),
    ("--mqtt-max-client-id-bytes=23", "maximumClientIDBytes", "23"),
    ("--mqtt-max-retained-messages=7", "maximumRetainedMessages", "7"),
    ("--mqtt-max-retained-bytes=7", "maximumRetainedBytes", "7"),
    ("--mqtt-check-payload-format", "checksPayloadFormat", "true"),
    ("--mqtt-max-qos=0", "maximumQoS", "0"),
    ("--mqtt-retain-available=no", "retainAvailable", "false"),
    ("--mqtt-wildcard-subscriptions=no", "wildcardSubscriptionAvailable", "false"),
    ("--mqtt-shared-subscriptions=no", "sharedSubscriptionAvailable", "false"),
    ("--grpc-watch-events=7", "watchedEvents", "7"),
    ("--grpc-watch-keep=7ms", "watchMilliseconds", "7"),
    ("--mqtt-max-inflight=7", "maximumInflight", "7"),
    ("--mqtt-receive-maximum=7", "receiveMaximum", "7"),
    ("--mqtt-max-queued-messages=7", "maximumQueuedMessages", "7"),
    ("--mqtt-max-queued-bytes=7", "maximumQueuedBytes", "7"),
    ("--session-park-after=7ms", "parkAfterMilliseconds", "7"),
  ]

  @Test("the changes above cover every field but the addresses")
  func coverage() throws {
    let covered = Set(Self.changes.map(\.1) + ["listen"])
    #expect(covered == Set(fields(try options()).keys))
  }

  @Test("each address reaches the server")
  func addresses() throws {
    let options = try options("--mqtt-tcp-listen=[::1]:1884,127.0.0.1:0")
    #expect(
      options.listen == [
        ListenEndpoint(host: "::1", port: 1884), ListenEndpoint(host: "127.0.0.1", port: 0),
      ])
  }

  @Test("an error of the server ends with the status of its kind", arguments: kinds)
  func statuses(kind: ServerError.Kind, status: Int32) {
    #expect(ExitStatus(kind).rawValue == status)
  }

  static let kinds: [(ServerError.Kind, Int32)] = [
    (.addressInUse, 69), (.addressNotAvailable, 69), (.permission, 77), (.openFiles, 71),
    (.system, 71),
  ]
}

import Packet

extension BenchResult {
  /// The result for programs.
  public func json(_ machine: MachineFacts) -> JSONValue {
    .object([
      ("flow", .string(options.flow.rawValue)),
      ("parameters", parameters),
      (
        "machine",
        .object([
          ("cores", .integer(UInt64(max(0, machine.cores)))), ("kernel", .string(machine.kernel)),
          ("cpu", .string(machine.cpu)),
        ])
      ),
      ("result", .object(options.flow == .idle ? idleMembers : loadMembers)),
    ])
  }

  private var versionText: String {
    switch options.version {
    case .v3_1: "3.1"
    case .v3_1_1: "3.1.1"
    case .v5: "5"
    }
  }

  private var parameters: JSONValue {
    var members: [(String, JSONValue)] = [
      ("host", .string(options.address)), ("port", .integer(UInt64(options.port))),
      ("version", .string(versionText)),
    ]
    if options.flow == .idle {
      members += [
        ("clients", .integer(clients)), ("subscribed", .bool(options.subscribes)),
        ("keep_alive", .integer(UInt64(options.keepAlive))),
        ("hold_seconds", .number(options.holdSeconds)),
        ("payload_bytes", .integer(UInt64(options.payloadBytes))),
      ]
    } else {
      members += [
        ("publishers", .integer(UInt64(options.publishers))),
        ("subscribers", .integer(UInt64(options.subscribers))),
        ("payload_bytes", .integer(UInt64(options.payloadBytes))),
        ("qos", .integer(UInt64(options.qos.rawValue))),
        ("warm_up_seconds", .number(options.warmUpSeconds)),
        ("rate", options.rate.map { .number($0) } ?? .null),
        ("other_filters", .integer(UInt64(options.otherFilters))),
        ("other_wildcards", .integer(UInt64(options.otherWildcards))),
        ("window", options.rate == nil ? .integer(UInt64(options.window)) : .null),
      ]
      switch options.extent {
      case .seconds(let seconds): members.append(("duration_seconds", .number(seconds)))
      case .messages(let count): members.append(("messages", .integer(count)))
      }
      if options.flow == .wildcard {
        members.append(("match", .string(options.matchesOne ? "one" : "all")))
      }
    }
    members += [
      ("persistent", .bool(options.isPersistent)), ("loops", .integer(UInt64(options.loops))),
      ("source_addresses", .integer(UInt64(options.sources.count))),
    ]
    return .object(members)
  }

  private func optional(_ value: Double?) -> JSONValue { value.map { .number($0) } ?? .null }

  private var clientMembers: [(String, JSONValue)] {
    [
      ("connected", .integer(connected)), ("failed", .integer(failed)),
      ("disconnected", .integer(disconnected)), ("connect_seconds", .number(connectSeconds)),
      (
        "connects_per_second",
        .number(connectSeconds > 0 ? Double(connected) / connectSeconds : 0)
      ),
      ("broker_resident_bytes", brokerResidentBytes.map { .integer($0) } ?? .null),
      ("broker_bytes_per_client", optional(brokerBytesPerClient)),
    ]
  }

  private var complaintMember: (String, JSONValue) {
    ("error", complaint.map { .string($0) } ?? .null)
  }

  private var idleMembers: [(String, JSONValue)] {
    clientMembers + [
      ("broker_cpu_us_per_connect", optional(brokerConnectMicroseconds)),
      ("broker_cpu_idle_percent", optional(brokerIdlePercent)),
      (
        "connect_progress",
        .array(
          connectProgress.map {
            .object([("seconds", .number($0.seconds)), ("connected", .integer($0.connected))])
          })
      ),
      ("reach", reachMember), ("broadcast", broadcastMember),
      ("duplicates", .integer(duplicates)), complaintMember,
    ]
  }

  private var reachMember: JSONValue {
    guard let reach else { return .null }
    return .object([
      ("clients", .integer(clients)), ("reached", .integer(reach.reached)),
      ("seconds", .number(reach.seconds)),
    ])
  }

  private var broadcastMember: JSONValue {
    guard let broadcast else { return .null }
    return .object([
      ("clients", .integer(clients)), ("reached", .integer(broadcast.reached)),
      ("subscribe_seconds", .number(broadcast.subscribeSeconds)),
      ("first_ms", .number(broadcast.firstMilliseconds)),
      ("last_ms", .number(broadcast.lastMilliseconds)),
      ("spread_ms", .number(broadcast.lastMilliseconds - broadcast.firstMilliseconds)),
      ("broker_cpu_seconds", optional(broadcast.brokerCPUSeconds)),
    ])
  }

  private var loadMembers: [(String, JSONValue)] {
    let latencies: JSONValue =
      latency.map {
        .object([
          ("count", .integer($0.count)), ("mean", .number($0.mean)), ("p50", .number($0.p50)),
          ("p90", .number($0.p90)), ("p99", .number($0.p99)), ("p99.9", .number($0.p999)),
          ("max", .number($0.maximum)),
        ])
      } ?? .null
    return [
      ("messages", .integer(messages)), ("deliveries", .integer(deliveries)),
      ("seconds", .number(seconds)), ("deliveries_per_second", .number(deliveriesPerSecond)),
      ("broker_cpu_us_per_delivery", optional(brokerMicroseconds)),
      ("broker_cpu_seconds", optional(brokerCPUSeconds)),
      ("broker_disk_bytes_per_message", optional(brokerDiskBytes)),
      ("broker_write_bytes_per_message", optional(brokerCallBytes)),
      ("generator_cpu_us_per_delivery", optional(generatorMicroseconds)),
      ("latency_us", latencies), ("lost", .integer(lost)), ("reordered", .integer(reordered)),
      ("duplicates", .integer(duplicates)), ("foreign", .integer(foreign)),
      ("refused", .integer(refused)), ("stalls", .integer(stalls)),
      ("complete", .bool(isComplete)),
    ] + clientMembers + [complaintMember]
  }

  /// The result for people, one line for each fact, with a line end behind each.
  public func text(_ machine: MachineFacts) -> String {
    var lines = [
      "flow                  \(options.flow.rawValue), MQTT \(versionText)"
        + (options.flow == .idle
          ? "" : ", QoS \(options.qos.rawValue), \(options.payloadBytes) bytes")
        + (options.isPersistent ? ", sessions that outlive connections" : ""),
      "machine               \(machine.cores) cores, \(machine.kernel), \(machine.cpu)",
      "clients               \(connected) connected in \(fixed(connectSeconds, 2)) s, "
        + "\(failed) failed, \(disconnected) disconnected",
    ]
    if options.flow != .idle {
      lines += [
        "messages              \(messages) in \(fixed(seconds, 3)) s",
        "deliveries            \(deliveries), \(fixed(deliveriesPerSecond, 0)) a second",
      ]
      lines.append(
        options.hasStamps
          ? "lost, reordered       \(lost), \(reordered)" : "lost                  \(lost)")
      for (count, name) in [(duplicates, "duplicates"), (refused, "refused"), (stalls, "stalls")]
      where count > 0 {
        lines.append(name.padded(22) + "\(count)")
      }
      if let own = generatorMicroseconds {
        lines.append("generator CPU         \(fixed(own, 3)) us for each delivery")
      }
    }
    if let value = brokerMicroseconds {
      lines.append("broker CPU            \(fixed(value, 3)) us for each delivery")
    }
    if let value = brokerDiskBytes, value > 0 {
      lines.append("broker disk           \(fixed(value, 0)) bytes written for each message")
    }
    if let value = brokerConnectMicroseconds {
      lines.append("broker CPU            \(fixed(value, 1)) us for each connect")
    }
    if let value = brokerBytesPerClient {
      lines.append("broker memory         \(fixed(value, 0)) bytes for each client")
    }
    if let value = brokerIdlePercent {
      lines.append("broker CPU, idle      \(fixed(value, 2)) % of a core")
    }
    if let reach {
      lines.append(
        "reach                 \(reach.reached) clients, a message each, in "
          + "\(fixed(reach.seconds, 2)) s")
    }
    if let broadcast {
      lines.append(
        "broadcast             \(broadcast.reached) clients, first after "
          + "\(fixed(broadcast.firstMilliseconds, 1)) ms, last after "
          + "\(fixed(broadcast.lastMilliseconds, 1)) ms")
    }
    if let value = latency {
      lines.append(
        "latency, us           p50 \(fixed(value.p50, 0)), p90 \(fixed(value.p90, 0)), p99 "
          + "\(fixed(value.p99, 0)), p99.9 \(fixed(value.p999, 0)), max \(fixed(value.maximum, 0))")
    }
    if let complaint { lines.append("error                 \(complaint)") }
    return lines.map { $0 + "\n" }.joined()
  }

  /// A number with so many digits behind the point.
  private func fixed(_ value: Double, _ digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = (value.magnitude * scale).rounded()
    guard scaled < 1e15 else { return "\(value)" }
    let whole = UInt64(scaled) / UInt64(scale)
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(whole)" }
    let fraction = String(UInt64(scaled) % UInt64(scale) + UInt64(scale)).dropFirst()
    return "\(sign)\(whole).\(fraction)"
  }
}

extension String {
  fileprivate func padded(_ count: Int) -> String {
    self + String(repeating: " ", count: max(0, count - utf8.count))
  }
}

import Util

extension Diagnosis {
  /// The machine's memory, and that of the groups that this process is in.
  static func memory(
    _ demand: Demand, _ facts: SystemFacts, _ estimate: MemoryEstimate
  ) -> [Finding] {
    let total = estimate.totalBytes
    var available = Finding.atLeast(
      "memory", facts.memoryAvailable, total, .bytes,
      why: "what the clients take of the broker's memory and of the kernel's",
      detail: facts.memoryTotal.value.map { "of \(Amount.bytes($0))" }
    ) { [smaller(demand, facts.memoryAvailable.value ?? 0)] }
    if available.status == .fine, let bytes = facts.memoryAvailable.value,
      bytes < total + estimate.burstBytes
    {
      available.note =
        "a message on its way to each client takes up to "
        + "\(Amount.bytes(estimate.burstBytes)) more"
    }
    return [
      available,
      group(
        "memory.max (cgroup)", facts.memoryMaxima, total, .bytes,
        why: "memory of a control group; the system ends processes that take more"
      ) { groupRemedies($0, "MemoryMax", total) + [smaller(demand, $0.limit.value ?? 0)] },
      group(
        "memory.high (cgroup)", facts.memoryHighs, total, .bytes,
        why: "memory of a control group from which its processes are slowed down"
      ) { groupRemedies($0, "MemoryHigh", total) },
    ]
  }

  /// The tightest limit of the groups on the way to the root.
  static func group(
    _ name: String, _ limits: [GroupLimit]?, _ needed: UInt64, _ unit: Finding.Unit, why: String,
    remedies: (GroupLimit) -> [Remedy]
  ) -> Finding {
    guard let limits else {
      return .atLeast(name, .missing, needed, unit, why: why) { [] }
    }
    guard let tightest = limits.tightest else {
      return .atLeast(name, .unlimited, needed, unit, why: why) { [] }
    }
    let inUse = tightest.inUse.value ?? 0
    return .atLeast(
      name, tightest.limit, needed + inUse, unit, why: why,
      detail: (tightest.inUse.value.map { "\(Amount.text($0, unit)) in use, " } ?? "")
        + tightest.path
    ) { remedies(tightest) }
  }

  private static func groupRemedies(
    _ limit: GroupLimit, _ property: String, _ bytes: UInt64
  ) -> [Remedy] {
    let mebibytes = (bytes >> 20) + 1
    return [
      Remedy(.now, "echo \(mebibytes)M > \(limit.path)"),
      Remedy(
        .lasting, "\(property)=\(mebibytes)M", "in its unit or slice; --memory of a container"),
    ]
  }

  private static func smaller(_ demand: Demand, _ bytes: UInt64) -> Remedy {
    let connections = MemoryEstimate.connections(in: bytes, clientsAreHere: demand.clientsAreHere)
    let clients = Amount.count(connections, "quiet client")
    return Remedy(
      .instead,
      connections == 0
        ? "there is not enough for any"
        : "there is enough for \(clients): have fewer, or more memory")
  }
}

import Util

/// Whether a machine bears a number of connections, limit by limit.
public struct Diagnosis: Sendable, Equatable {
  /// What was asked of it.
  public let demand: Demand
  /// What each check found, in the order in which they are shown.
  public let findings: [Finding]
  /// The memory that the clients take.
  public let memory: MemoryEstimate

  /// Judges what is known of a machine.
  public init(_ demand: Demand, _ facts: SystemFacts) {
    self.demand = demand
    let memory = MemoryEstimate(demand, pageBytes: facts.pageBytes)
    self.memory = memory
    findings =
      [Diagnosis.sessions(demand)]
      + Diagnosis.files(demand, facts)
      + Diagnosis.network(demand, facts)
      + Diagnosis.memory(demand, facts, memory)
      + Diagnosis.process(demand, facts)
  }

  /// Whether no limit is known to be too low.
  public var isFine: Bool { lowCount == 0 }

  /// Checks that found a limit too low.
  public var lowCount: Int { findings.count { $0.status == .low } }

  /// Checks that found nothing out.
  public var unknownCount: Int { findings.count { $0.status == .unknown } }

  /// What the broker itself holds.
  static func sessions(_ demand: Demand) -> Finding {
    let all = UInt64(Limits.sessions)
    let each = UInt64(Limits.sessionsPerLoop)
    let fullest = demand.share(loops: demand.loops)
    var finding = Finding.atLeast(
      "sessions of a broker", .number(min(all, demand.loops * each)), demand.connections,
      .connections,
      why: "the broker's tables are laid out for so many, and no setting changes it"
    ) {
      let brokers = (demand.connections + all - 1) / all
      guard brokers == 1 else {
        return [Remedy(.instead, "run \(Amount.grouped(brokers)) brokers")]
      }
      return [Diagnosis.moreLoops(demand)]
    }
    // All of them may fit and those of the fullest loop not.
    if finding.status == .fine && fullest > each {
      finding.status = .low
      finding.needed = fullest * demand.loops
      finding.neededText = Amount.text(fullest * demand.loops, .connections)
      finding.remedies = [Diagnosis.moreLoops(demand)]
    }
    return finding
  }

  private static func moreLoops(_ demand: Demand) -> Remedy {
    let each = UInt64(Limits.sessionsPerLoop)
    let loops = (demand.loops...UInt64(Limits.loops)).first { demand.share(loops: $0) <= each }
    return Remedy(.instead, "net.loops: \(loops ?? UInt64(Limits.loops))")
  }
}

import Util

extension Diagnosis {
  /// Addresses, mappings and threads of the broker's process.
  static func process(_ demand: Demand, _ facts: SystemFacts) -> [Finding] {
    let threads = demand.loops + Figures.threadsFixed
    let mappings = Figures.mappingsFixed + demand.loops * Figures.mappingsPerLoop
    return [
      overcommit(facts),
      .atLeast(
        "vm.max_map_count", facts.mappingsMost, mappings, .mappings,
        why: "each table and pool of the broker's is a mapping of its own"
      ) { Remedy.setting("vm.max_map_count", "\(Amount.rounded(mappings))") },
      .unlimited(
        "addresses (RLIMIT_AS)", facts.addressSpace, .bytes,
        why: "the broker reserves addresses by the hundred gigabytes, and no memory with them"
      ) {
        [
          Remedy(.now, "ulimit -v unlimited"),
          Remedy(.lasting, "LimitAS=infinity", "under [Service] of its unit"),
        ]
      },
      .unlimited(
        "data (RLIMIT_DATA)", facts.dataSize, .bytes,
        why: "addresses that are reserved count as data, although no memory is behind them"
      ) {
        [
          Remedy(.now, "ulimit -d unlimited"),
          Remedy(.lasting, "LimitDATA=infinity", "under [Service] of its unit"),
        ]
      },
      group(
        "pids.max (cgroup)", facts.threadMaxima, threads, .threads,
        why: "each loop is a thread, and a control group may have so many"
      ) { limit in
        let most = threads + (limit.inUse.value ?? 0)
        return [
          Remedy(.now, "echo \(most) > \(limit.path)"),
          Remedy(.lasting, "TasksMax=\(most)", "in its unit or slice; --pids-limit of a container"),
        ]
      },
    ]
  }

  private static func overcommit(_ facts: SystemFacts) -> Finding {
    let name = "vm.overcommit_memory"
    var finding = Finding.atLeast(
      name, facts.overcommit, 0, .mode,
      why: "with 2 the kernel counts reserved addresses as memory, and refuses them"
    ) { [] }
    finding.needed = nil
    finding.neededText = "0 or 1"
    switch facts.overcommit {
    case .number(0), .number(1), .missing, .garbage: break
    case .number(2):
      finding.status = .low
      finding.remedies = Remedy.setting(name, "0")
    case .number(let value):
      finding.status = .unknown
      finding.presentText = "not understood: '\(value)'"
    case .unlimited:
      finding.status = .unknown
      finding.presentText = "not understood"
    }
    return finding
  }
}

import Util

extension Diagnosis {
  /// Descriptors: of a table, of the machine, and in epolls.
  static func files(_ demand: Demand, _ facts: SystemFacts) -> [Finding] {
    let plan = FilePlan(demand, facts)
    let ends = demand.ends
    let inUse = facts.filesInUse.value ?? 0
    let ofLoops = demand.reservedFiles(loops: demand.loops)
    let files = ends + ofLoops + inUse
    let watches = ends + ofLoops
    return [
      .atLeast(
        "open files (RLIMIT_NOFILE)", facts.openFilesHard, plan.files, .files,
        why: "a connection is an open file; the broker raises its soft limit to the hard one",
        detail: facts.openFilesSoft.value.map { "soft \(Amount.grouped($0))" },
        note: plan.isPrivate ? "needs \(plan.privateSettings(loops: demand.loops))" : nil
      ) { plan.remedies },
      .atLeast(
        "fs.nr_open", facts.openFilesMost, plan.files, .files,
        why: "no limit on open files can be set higher than this"
      ) { Remedy.setting("fs.nr_open", "\(plan.files)") },
      .atLeast(
        "fs.file-max", facts.filesMost, files, .files,
        why: "open files of all processes together, those open now included",
        detail: facts.filesInUse.value.map { "\(Amount.grouped($0)) in use" }
      ) { Remedy.setting("fs.file-max", "\(Amount.rounded(files))") },
      .atLeast(
        "fs.epoll.max_user_watches", facts.watchesMost, watches, .files,
        why: "each connection is watched by an epoll, and a user may have so many watched"
      ) { Remedy.setting("fs.epoll.max_user_watches", "\(Amount.rounded(watches))") },
    ]
  }
}

/// How the descriptors of all clients fit into the tables of open files.
struct FilePlan {
  /// Descriptors of the fullest table.
  let files: UInt64
  /// Whether each loop has a table of its own.
  let isPrivate: Bool

  private let demand: Demand
  /// The limit that is in force; `.max` where it is not known.
  private let limit: UInt64
  /// Whether `net.private-descriptors` has to be on: with `auto`, the broker parts the tables only
  /// where `mqtt.max-connections`, which has a largest value, does not fit the limit.
  private let needsOn: Bool

  /// One table if it fits; else one for each loop if that fits; else whichever needs only the
  /// process's own limit to be raised, one table first.
  init(_ demand: Demand, _ facts: SystemFacts) {
    self.demand = demand
    let most = facts.openFilesMost.value ?? .max
    let hard = facts.openFilesHard.value ?? .max
    let one = demand.filesOfOneTable
    let own = demand.filesOfOwnTable(loops: demand.loops)
    limit = min(hard, most)
    isPrivate = one > limit && demand.loops > 1 && (own <= limit || one > most)
    files = isPrivate ? own : one
    needsOn = hard >= one || demand.connections > Figures.maximumConnectionsSetting
  }

  /// The settings that give each loop a table of its own.
  func privateSettings(loops: UInt64) -> String {
    (loops == demand.loops ? "" : "net.loops: \(loops), ")
      + (needsOn
        ? "net.private-descriptors: on"
        : "net.private-descriptors: auto, mqtt.max-connections: \(demand.connections)")
  }

  /// How the limit is raised, and the number of loops that does without.
  var remedies: [Remedy] {
    var remedies = [
      Remedy(.now, "ulimit -n \(files)", "as root, in the shell that starts the broker"),
      Remedy(.lasting, "LimitNOFILE=\(files)", "under [Service] of its unit"),
    ]
    if let loops = demand.loops(forLimit: limit) {
      remedies.append(Remedy(.instead, privateSettings(loops: loops)))
    }
    return remedies
  }
}

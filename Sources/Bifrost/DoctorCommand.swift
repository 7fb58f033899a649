import ArgumentParser
import Bench
import Conf
import Doctor
import Glibc
import Util

/// `bifrost doctor`: says which limits of this machine are too low for a number of connections.
struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Check this machine's limits for a number of connections.",
    discussion: """
      Reads limits and changes none. Run it as the broker's user, in its unit or
      container, and before the broker runs: what is in use counts.

      The status is 0 if no limit is too low, and 1 if one is. docs/DOCTOR.md says
      what the limits are.
      """)

  @Option(help: ArgumentHelp("Clients to be connected at a time.", valueName: "number"))
  var connections: Int
  @Option(help: "The broker's event loops (net.loops); one for each core unless it is set.")
  var loops: Int?
  @Option(help: "Addresses that it listens on.") var listeners = 1
  @Flag(help: "The clients run on this machine too, such as those of 'bifrost bench'.")
  var clientsHere = false
  @Flag(help: "Write the result as JSON.") var json = false

  func validate() throws {
    try check("--connections", connections, Demand.mostConnections)
    if let loops { try check("--loops", loops, Limits.loops) }
    try check("--listeners", listeners, Demand.mostListeners)
  }

  private func check(_ flag: String, _ value: Int, _ most: Int) throws {
    guard value >= 1 && value <= most else {
      throw ValidationError("\(flag) is \(value); use 1 to \(most)")
    }
  }

  func run() throws {
    let processors = min(ConfigurationSources.availableProcessors, Limits.loops)
    let demand = Demand(
      connections: connections, loops: loops ?? processors, listeners: listeners,
      clientsAreHere: clientsHere)
    let diagnosis = Diagnosis(demand, SystemFacts(root: "/"))
    write(json ? diagnosis.json.text + "\n" : diagnosis.text, to: STDOUT_FILENO)
    guard diagnosis.isFine else { throw ExitCode.failure }
  }
}

extension Diagnosis {
  /// The result for programs. Names do not change their meaning; new ones may come.
  var json: JSONValue {
    .object([
      ("connections", .integer(demand.connections)),
      ("loops", .integer(demand.loops)),
      ("listeners", .integer(demand.listeners)),
      ("clients_here", .bool(demand.clientsAreHere)),
      ("fine", .bool(isFine)),
      ("low", .integer(UInt64(lowCount))),
      ("unknown", .integer(UInt64(unknownCount))),
      ("checks", .array(findings.map(\.json))),
      (
        "memory",
        .object([
          ("user_bytes", .integer(memory.userBytes)),
          ("kernel_bytes", .integer(memory.kernelBytes)),
          ("total_bytes", .integer(memory.totalBytes)),
          ("burst_bytes", .integer(memory.burstBytes)),
        ])
      ),
    ])
  }
}

extension Finding {
  /// One check: `present` and `needed` are null where there is no number, the texts say why.
  fileprivate var json: JSONValue {
    .object([
      ("name", .string(name)),
      ("status", .string(status.rawValue)),
      ("unit", .string(unit.rawValue)),
      ("present", present.value.map { .integer($0) } ?? .null),
      ("needed", needed.map { .integer($0) } ?? .null),
      ("present_text", .string(presentText)),
      ("needed_text", .string(neededText)),
      ("why", .string(why)),
      ("note", note.map { .string($0) } ?? .null),
      (
        "remedies",
        .array(
          remedies.map {
            .object([
              ("kind", .string($0.kind.rawValue)),
              ("text", .string($0.text)),
              ("place", $0.place.map { .string($0) } ?? .null),
            ])
          })
      ),
    ])
  }
}

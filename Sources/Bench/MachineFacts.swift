import Glibc
import Util

/// The machine that the load comes from.
public struct MachineFacts: Sendable, Equatable {
  /// Processors that may be used.
  public var cores: Int
  /// Name and release of the system.
  public var kernel: String
  /// The processor's name; empty where the system does not tell.
  public var cpu: String

  /// This machine.
  public static var present: MachineFacts {
    let release =
      readFile("/proc/sys/kernel/osrelease")?.split(separator: "\n").first.map(String.init) ?? ""
    let model =
      readFile("/proc/cpuinfo")?.split(separator: "\n")
      .first { $0.hasPrefix("model name") }?
      .split(separator: ":", maxSplits: 1).last.map(String.init) ?? ""
    return MachineFacts(
      cores: sysconf(Int32(_SC_NPROCESSORS_ONLN)), kernel: "Linux \(release)",
      cpu: String(model.drop { $0 == " " }))
  }
}

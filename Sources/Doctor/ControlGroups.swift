/// A limit of one control group.
public struct GroupLimit: Sendable, Equatable {
  /// The file with the limit, as this process sees it.
  public var path: String
  /// The limit, in the unit of the list that it is in.
  public var limit: Reading
  /// What the group has of it now; `missing` where that does not count.
  public var inUse: Reading

  /// A limit with what is in use of it.
  public init(path: String, limit: Reading, inUse: Reading = .missing) {
    self.path = path
    self.limit = limit
    self.inUse = inUse
  }

  /// What is left of the limit; nil where there is none.
  var room: UInt64? {
    guard let limit = limit.value else { return nil }
    return limit - min(limit, inUse.value ?? 0)
  }
}

extension [GroupLimit] {
  /// The limit that bites first; nil where none does and none is unknown.
  var tightest: GroupLimit? {
    let bounded = compactMap { group in group.room.map { (group: group, room: $0) } }
    return bounded.min { $0.room < $1.room }?.group ?? first { $0.limit != .unlimited }
  }
}

/// The control groups that this process is in, of both versions.
///
/// A limit holds for a group and all below it, so that each on the way up to the root counts. In a
/// container the group's own directory is often mounted as the root, and the path that the kernel
/// tells leads nowhere below it; what is at the root counts then.
struct ControlGroups {
  private let files: SystemFiles
  /// Controllers (none for version 2) and path of each line of `/proc/self/cgroup`.
  private let memberships: [(controllers: [Substring], path: String)]

  /// nil where the system does not tell.
  init?(_ files: SystemFiles) {
    guard let text = files.text("/proc/self/cgroup") else { return nil }
    self.files = files
    memberships = text.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { return nil }
      return (fields[1].split(separator: ","), String(fields[2]))
    }
  }

  /// The limits of a controller on the way from the group to the root.
  /// - Parameters:
  ///   - second: the limit's file in version 2.
  ///   - first: the limit's file in version 1; nil where that has none.
  ///   - inUse: the file that says what is in use.
  func limits(
    controller: String, _ second: String, _ first: String?, inUse: String? = nil
  ) -> [GroupLimit] {
    var found: [GroupLimit] = []
    for (controllers, path) in memberships {
      let base: String
      let file: String
      if controllers.isEmpty {
        base = unifiedMount
        file = second
      } else if let first, controllers.contains(Substring(controller)) {
        base = "/sys/fs/cgroup/" + controllers.joined(separator: ",")
        file = first
      } else {
        continue
      }
      for directory in ControlGroups.directories(base, path) {
        guard let text = files.text("\(directory)/\(file)") else { continue }
        found.append(
          GroupLimit(
            path: "\(directory)/\(file)", limit: Reading(text),
            inUse: inUse.map { Reading(files.text("\(directory)/\($0)")) } ?? .missing))
      }
    }
    return found
  }

  /// Where version 2 is mounted: beside version 1, systemd puts it one directory lower.
  private var unifiedMount: String {
    files.text("/sys/fs/cgroup/cgroup.controllers") == nil
      ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup"
  }

  /// The directory of a group and those above it, the innermost first. A path that leads out of
  /// what this process may see begins with `..`, and only the root of what it sees is left.
  static func directories(_ base: String, _ path: String) -> [String] {
    let names = path.split(separator: "/")
    guard !names.contains("..") else { return [base] }
    return (0...names.count).reversed().map { count in
      ([base] + names.prefix(count).map(String.init)).joined(separator: "/")
    }
  }
}

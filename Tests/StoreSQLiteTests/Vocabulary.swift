/// Topics and filters so few that they often match.
enum Vocabulary {
  static let topics = [
    "a", "a/b", "a/b/c", "b", "b/c", "/", "a/", "/a", "$s", "$s/a", "c/d/e/f/g", "a longer topic/b",
  ]

  static let filters =
    topics + [
      "#", "+", "a/#", "a/+", "+/b", "+/+", "a/b/#", "$s/#", "+/a", "/#", "/+", "c/+/e/#", "b/#",
      "$share/group/a/#", "$share/group/b",
    ]

  static func isShared(_ filter: Int) -> Bool { filters[filter].hasPrefix("$share/") }

  /// For each filter and topic, by index, whether they match.
  static let matches: [[Bool]] = filters.map { filter in
    topics.map { Naive.matches(filter, $0) }
  }
}

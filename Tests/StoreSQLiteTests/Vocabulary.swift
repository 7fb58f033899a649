/// Topics and filters so few that they often match.
enum Vocabulary {
  static let topics = [
    "a", "a/b", "a/b/c", "b", "b/c", "/", "a/", "/a", "$s", "$s/a", "c/d/e/f/g", "a longer topic/b",
  ]

  static let filters =
    topics + [
      "#", "+", "a/#", "a/+", "+/b", "+/+", "a/b/#", "$s/#", "+/a", "/#", "/+", "c/+/e/#", "b/#",
      "$share/group/a/#", "$share/group/b", "$share/other/a/#", "$share/group/+/b",
      "$share/group/a/+",
    ]

  /// The shared subscriptions, whose inner filters are in the vocabulary too.
  static let shares = filters.indices.filter(isShared)

  static func isShared(_ filter: Int) -> Bool { filters[filter].hasPrefix("$share/") }

  /// What the messages of a shared subscription are matched with.
  static func inner(_ share: Int) -> Int {
    let text = filters[share].split(separator: "/", maxSplits: 2)[2]
    guard let inner = filters.firstIndex(of: String(text)) else {
      preconditionFailure("\(text) is not in the vocabulary")
    }
    return inner
  }

  /// For each filter and topic, by index, whether they match.
  static let matches: [[Bool]] = filters.map { filter in
    topics.map { Naive.matches(filter, $0) }
  }
}

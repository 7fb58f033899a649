/// The rules of topic filters, written as plainly as they can be: split and recurse.
enum Naive {
  static func matches(_ filter: String, _ topic: String) -> Bool {
    if filter.hasPrefix("$share/") { return false }
    if topic.hasPrefix("$") && (filter.hasPrefix("+") || filter.hasPrefix("#")) { return false }
    return matches(levels(filter)[...], levels(topic)[...])
  }

  static func levels(_ text: String) -> [String] {
    text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
  }

  private static func matches(_ filter: ArraySlice<String>, _ topic: ArraySlice<String>) -> Bool {
    guard let first = filter.first else { return topic.isEmpty }
    if first == "#" { return true }
    guard let level = topic.first else { return false }
    return (first == "+" || first == level) && matches(filter.dropFirst(), topic.dropFirst())
  }
}

/// Which known name an unknown one was meant to be.
enum NearestName {
  /// The closest of the candidates, or nil where none is close.
  ///
  /// A name that lacks words of a known one (`max-qos` for `mqtt.max-qos`) counts as close;
  /// otherwise at most a third of its characters may be wrong.
  static func to(_ name: String, among candidates: [String]) -> String? {
    // Longer texts are no misspelling, and the work grows with the product of the lengths.
    guard name.utf8.count <= 64 else { return nil }
    let words = words(of: name)
    let fuller = candidates.filter { lacksOnlyWords(words, Self.words(of: $0)) }
    if let shortest = fuller.min(by: { $0.count < $1.count }) { return shortest }
    var best: (name: String, distance: Int)?
    for candidate in candidates {
      let distance = distance(Array(name.utf8), Array(candidate.utf8))
      if distance < best?.distance ?? Int.max { best = (candidate, distance) }
    }
    guard let best, best.distance <= max(2, name.utf8.count / 3) else { return nil }
    return best.name
  }

  private static func words(of name: String) -> [Substring] {
    name.split { ".-_".contains($0) }
  }

  /// Whether a name is another one without some of its words, of which the last is there.
  private static func lacksOnlyWords(_ words: [Substring], _ all: [Substring]) -> Bool {
    guard let last = words.last, last == all.last else { return false }
    var rest = words[...]
    for word in all where word == rest.first { rest.removeFirst() }
    return rest.isEmpty
  }

  /// The number of insertions, deletions and replacements between two texts (Levenshtein).
  static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var row = Array(0...b.count)
    for (i, left) in a.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, right) in b.enumerated() {
        let replaced = diagonal + (left == right ? 0 : 1)
        diagonal = row[j + 1]
        row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
      }
    }
    return row[b.count]
  }

  /// The advice at the end of an error about an unknown name.
  static func advice(for name: String, among candidates: [String]) -> String {
    to(name, among: candidates).map { "did you mean \($0)?" }
      ?? "'bifrost config --print' lists what there is"
  }
}

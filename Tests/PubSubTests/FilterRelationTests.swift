import PubSub
import Testing

/// `filterCovers` and `filtersOverlap` against what topics match, of which all short ones are tried.
@Suite struct FilterRelationTests {
  private static let words = ["a", "b", "$s", "", "+"]

  /// All of up to three levels of the words, and those with `#` behind.
  private static func texts(wildcards: Bool) -> [String] {
    let words = wildcards ? words : words.filter { $0 != "+" }
    var texts: [String] = []
    var last: [String] = words
    for depth in 0..<3 {
      texts += last
      if wildcards { texts += last.map { $0 + "/#" } }
      if depth < 2 { last = last.flatMap { text in words.map { text + "/" + $0 } } }
    }
    if wildcards { texts.append("#") }
    return texts.filter { !$0.isEmpty }
  }

  @Test func theyAreWhatTopicsSay() {
    let filters = FilterRelationTests.texts(wildcards: true)
    // One level more than filters have, and a word that they have not.
    let topics =
      FilterRelationTests.texts(wildcards: false).flatMap { [$0, $0 + "/z", $0 + "/z/z"] } + [
        // No topic, but "/#" stands for its first level too.
        "z", "z/z", "z/a", "a/z/a", "",
      ]
    let matches = filters.map { filter in
      Set(
        topics.indices.filter { index in
          filterMatches(Array(filter.utf8).span, topic: Array(topics[index].utf8).span)
        })
    }
    for (one, outer) in filters.enumerated() {
      for (other, inner) in filters.enumerated() {
        let covers = filterCovers(Array(outer.utf8).span, Array(inner.utf8).span)
        if covers != matches[other].isSubset(of: matches[one]) {
          Issue.record("\(outer) covers \(inner): \(covers)")
        }
        let overlaps = filtersOverlap(Array(outer.utf8).span, Array(inner.utf8).span)
        if overlaps == matches[other].isDisjoint(with: matches[one]) {
          Issue.record("\(outer) meets \(inner): \(overlaps)")
        }
      }
    }
  }
}

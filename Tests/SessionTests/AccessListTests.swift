import Session
import Testing

@Suite struct AccessListTests {
  private func rule(
    _ filter: String, publishes: Bool = true, subscribes: Bool = true, allows: Bool = true
  ) -> AccessList.Rule {
    AccessList.Rule(
      publishes: publishes, subscribes: subscribes, filter: Array(filter.utf8), allows: allows)
  }

  @Test func theFirstRuleThatFitsDecides() {
    let list = AccessList(rules: [
      rule("a/b", allows: false), rule("a/#"), rule("in", publishes: false),
      rule("out", subscribes: false),
    ])
    func mayPublish(_ topic: String) -> Bool { list.mayPublish(Array(topic.utf8).span) }
    func maySubscribe(_ filter: String) -> Bool { list.maySubscribe(Array(filter.utf8).span) }
    #expect(mayPublish("a/c"))
    #expect(!mayPublish("a/b"))
    #expect(mayPublish("out"))
    #expect(!mayPublish("in"))
    #expect(!mayPublish("x"))
    #expect(maySubscribe("a/c"))
    #expect(maySubscribe("a/c/#"))
    // It could match what is refused.
    #expect(!maySubscribe("a/#"))
    #expect(!maySubscribe("a/+"))
    #expect(!maySubscribe("#"))
    #expect(maySubscribe("in"))
    #expect(!maySubscribe("out"))
    let mayAnything = AccessList(rules: []).mayPublish(Array("a".utf8).span)
    #expect(!mayAnything)
  }
}

import BifrostAPI
import Packet
import Session
import Testing

@testable import GRPCServer

/// What OnConnect says of a client becomes an identity.
struct HooksAccessTests {
  private func client(_ id: String, user: String = "") -> HookedClient {
    HookedClient(clientID: Array(id.utf8), userName: Array(user.utf8), version: 5)
  }

  private func rule(
    _ filter: String, _ action: Bifrost_V1_AclAction = .unspecified, deny: Bool = false
  ) -> Bifrost_V1_AclRule {
    .with {
      $0.filter = filter
      $0.action = action
      $0.deny = deny
    }
  }

  private func access(
    _ rules: [Bifrost_V1_AclRule], _ client: HookedClient, tenant: String = ""
  ) throws -> AccessList {
    let allow = Bifrost_V1_OnConnectResponse.Allow.with {
      $0.acl = rules
      $0.tenant = tenant
    }
    guard case .answer(let identity) = IdentityMaker().make(allow, for: client) else {
      throw HookError("refused")
    }
    return try #require(identity.access)
  }

  private func mayPublish(_ list: AccessList, _ topic: String) -> Bool {
    list.mayPublish(Array(topic.utf8).span)
  }

  private func maySubscribe(_ list: AccessList, _ filter: String) -> Bool {
    list.maySubscribe(Array(filter.utf8).span)
  }

  @Test func placeholdersStandForTheClient() throws {
    let list = try access([rule("%t/%c/%u/#")], client("c1", user: "u1"), tenant: "t1")
    #expect(mayPublish(list, "t1/c1/u1/x"))
    #expect(!mayPublish(list, "t1/c2/u1/x"))
    #expect(maySubscribe(list, "t1/c1/u1/+"))
    #expect(!maySubscribe(list, "#"))
  }

  @Test func theUserNameIsTheOneThatTheHookGave() throws {
    let allow = Bifrost_V1_OnConnectResponse.Allow.with {
      $0.acl = [rule("users/%u")]
      $0.userName = "given"
    }
    guard
      case .answer(let identity) = IdentityMaker().make(allow, for: client("c", user: "own"))
    else {
      Issue.record("refused")
      return
    }
    let list = try #require(identity.access)
    #expect(mayPublish(list, "users/given"))
    #expect(!mayPublish(list, "users/own"))
  }

  @Test(arguments: ["+", "#", "a/b", "a+", "a#", "/", ""])
  func aNameThatWouldWidenARuleFitsNothing(name: String) throws {
    let list = try access([rule("devices/%c"), rule("devices/%c/#")], client(name))
    for topic in ["devices/x", "devices/a/b", "devices/\(name)", "devices/", "devices"] {
      #expect(!mayPublish(list, topic))
      #expect(!maySubscribe(list, topic))
    }
    #expect(!maySubscribe(list, "devices/#"))
  }

  @Test func aNameCanNotBecomeTheBrokersTopics() throws {
    let list = try access([rule("%c/#")], client("$SYS"))
    #expect(!maySubscribe(list, "$SYS/broker/uptime"))
  }

  @Test func aRuleThatRefusesStaysOne() throws {
    let list = try access([rule("secret/%c", deny: true), rule("#")], client("a/b"))
    #expect(!mayPublish(list, "secret/a/b"))
    #expect(mayPublish(list, "secret/a"))
  }

  @Test func rulesAreForWhatTheySay() throws {
    let list = try access([rule("p", .publish), rule("s", .subscribe)], client("c"))
    #expect(mayPublish(list, "p"))
    #expect(!mayPublish(list, "s"))
    #expect(maySubscribe(list, "s"))
    #expect(!maySubscribe(list, "p"))
  }

  @Test func rulesThatAllFitNothingRefuseAll() throws {
    let list = try access([rule("%t/#")], client("c"))
    #expect(!mayPublish(list, "x"))
  }

  @Test func clientsOfWhichTheSameIsSaidShareAnIdentity() {
    let maker = IdentityMaker()
    let allow = Bifrost_V1_OnConnectResponse.Allow.with {
      $0.acl = [rule("#")]
      $0.attributes = ["a": "1"]
    }
    guard case .answer(let one) = maker.make(allow, for: client("1")),
      case .answer(let other) = maker.make(allow, for: client("2")),
      case .answer(let third) = maker.make(.with { $0.acl = [rule("%c")] }, for: client("1")),
      case .answer(let fourth) = maker.make(.with { $0.acl = [rule("%c")] }, for: client("2"))
    else {
      Issue.record("refused")
      return
    }
    #expect(one === other)
    #expect(third !== fourth)
    #expect(one.access != nil)
    #expect(one.maximumSessionExpiry == .max)
  }

  struct Garbage: Sendable, CustomStringConvertible {
    let description: String
    let allow: Bifrost_V1_OnConnectResponse.Allow

    init(
      _ description: String,
      _ change: (inout Bifrost_V1_OnConnectResponse.Allow) -> Void
    ) {
      self.description = description
      allow = .with(change)
    }

    static let all = [
      Garbage("a filter that is none") { $0.acl = [.with { $0.filter = "a/#/b" }] },
      Garbage("no filter") { $0.acl = [.init()] },
      Garbage("a shared filter") { $0.acl = [.with { $0.filter = "$share/g/a" }] },
      Garbage("an unknown action") {
        $0.acl = [
          .with {
            $0.filter = "a"
            $0.action = .UNRECOGNIZED(9)
          }
        ]
      },
      Garbage("many rules") {
        $0.acl = .init(repeating: .with { $0.filter = "a" }, count: 1001)
      },
      Garbage("many attributes") { allow in
        for number in 0...64 { allow.attributes["\(number)"] = "" }
      },
      Garbage("a large attribute") { $0.attributes["a"] = String(repeating: "x", count: 1024) },
      Garbage("a long tenant") { $0.tenant = String(repeating: "x", count: 257) },
      Garbage("NUL in the user name") { $0.userName = "a\u{0}" },
    ]
  }

  @Test(arguments: Garbage.all)
  func whatCanNotBeAnIdentityIsNotUsed(garbage: Garbage) {
    guard case .unusable(let reason) = IdentityMaker().make(garbage.allow, for: client("c")) else {
      Issue.record("used")
      return
    }
    #expect(!reason.isEmpty)
  }
}

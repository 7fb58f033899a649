import BifrostAPI
import Packet
import Session
import Synchronization
import Util

/// Makes identities of what OnConnect says. Clients of which it says the same share one.
final class IdentityMaker: Sendable {
  private struct Key: Hashable {
    var allow: Bifrost_V1_OnConnectResponse.Allow
    /// Where a rule names the client.
    var names: ClientNames?
  }

  private let made = Mutex(
    RecentlyUsed<Key, Identity>(
      maximumCount: HookLimits.sharedIdentities, maximumBytes: HookLimits.sharedIdentityBytes))

  /// The identity of a client, or why the answer can't be used.
  func make(
    _ allow: Bifrost_V1_OnConnectResponse.Allow, for client: HookedClient
  ) -> HookReply<Identity> {
    let templates: [AccessTemplate]
    switch Self.check(allow) {
    case .answer(let checked): templates = checked
    case .unusable(let reason): return .unusable(reason)
    }
    let userName = Array(allow.userName.utf8)
    let tenant = Array(allow.tenant.utf8)
    let names = ClientNames(
      clientID: client.clientID, userName: userName.isEmpty ? client.userName : userName,
      tenant: tenant)
    let key = Key(
      allow: allow, names: templates.contains(where: \.hasPlaceholder) ? names : nil)
    if let identity = made.withLock({ $0.value(key) }) { return .answer(identity) }
    let identity = Identity(
      userName: userName, tenant: tenant, access: Self.access(allow.acl, templates, names),
      maximumSubscriptions: Int(allow.limits.maxSubscriptions),
      maximumSessionExpiry: allow.limits.maxSessionExpirySeconds == 0
        ? .max : allow.limits.maxSessionExpirySeconds,
      publishesPerSecond: Int(allow.limits.maxPublishesPerSecond), attributes: allow.attributes)
    // What differs from client to client would only push out what many share.
    if key.names == nil {
      made.withLock { $0.set(key, identity, bytes: Self.bytes(identity)) }
    }
    return .answer(identity)
  }

  /// Bytes that an identity takes, about.
  static func bytes(_ identity: Identity) -> Int {
    let texts = identity.attributes.reduce(identity.userName.count + identity.tenant.count) {
      $0 + $1.key.utf8.count + $1.value.utf8.count + 64
    }
    return (identity.access?.rules ?? []).reduce(texts + HookLimits.cacheEntryBytes) {
      $0 + $1.filter.count + 64
    }
  }

  /// The filters of the rules, where all is as it has to be.
  private static func check(
    _ allow: Bifrost_V1_OnConnectResponse.Allow
  ) -> HookReply<[AccessTemplate]> {
    guard validateUTF8String(Array(allow.userName.utf8).span) else {
      return .unusable("the user name has more than 65,535 bytes, or U+0000")
    }
    let tenant = Array(allow.tenant.utf8)
    guard tenant.count <= HookLimits.tenantBytes, validateUTF8String(tenant.span) else {
      return .unusable("the tenant has more than \(HookLimits.tenantBytes) bytes, or U+0000")
    }
    guard allow.attributes.count <= HookLimits.attributes else {
      return .unusable("there are more than \(HookLimits.attributes) attributes")
    }
    let fits = allow.attributes.allSatisfy {
      $0.key.utf8.count + $0.value.utf8.count <= HookLimits.attributeBytes
    }
    guard fits else {
      return .unusable("an attribute has more than \(HookLimits.attributeBytes) bytes")
    }
    guard allow.acl.count <= HookLimits.accessRules else {
      return .unusable("there are more than \(HookLimits.accessRules) access rules")
    }
    var templates: [AccessTemplate] = []
    for rule in allow.acl {
      if case .UNRECOGNIZED(let value) = rule.action {
        return .unusable("an access rule has the unknown action \(value)")
      }
      guard let template = AccessTemplate(rule.filter) else {
        return .unusable("an access rule has a filter that is none")
      }
      templates.append(template)
    }
    return .answer(templates)
  }

  private static func access(
    _ rules: [Bifrost_V1_AclRule], _ templates: [AccessTemplate], _ names: ClientNames
  ) -> AccessList? {
    guard !rules.isEmpty else { return nil }
    var list: [AccessList.Rule] = []
    for (rule, template) in zip(rules, templates) {
      guard let filter = template.filled(names, allows: !rule.deny) else { continue }
      list.append(
        AccessList.Rule(
          publishes: rule.action != .subscribe, subscribes: rule.action != .publish,
          filter: filter, allows: !rule.deny))
    }
    return AccessList(rules: list)
  }
}

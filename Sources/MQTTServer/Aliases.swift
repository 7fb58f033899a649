import Session
import Util

/// Topic aliases, which end with their connection. A table is a block of text handles, alias 1
/// first; the texts lie in the same pool.
extension Worker {
  /// Notes what the client calls a topic; false when the alias is out of range.
  func learnAlias(_ session: UInt32, _ alias: UInt16, _ topic: Span<UInt8>) -> Bool {
    guard alias != 0, alias <= options.topicAliasMaximum,
      let extra = sessions.makeExtras(session)
    else { return false }
    if sessions.extras[extra].receivedAliases == 0 {
      guard let table = makeAliasTable() else { return false }
      sessions.extras[extra].receivedAliases = table
    }
    return setAlias(sessions.extras[extra].receivedAliases, alias, topic)
  }

  /// The text handle of a topic that the client gave an alias; 0 when it did not.
  func receivedAlias(_ session: UInt32, _ alias: UInt16) -> UInt32 {
    let extra = sessions.records[session].extras
    guard extra != 0, sessions.extras[extra].receivedAliases != 0,
      alias <= options.topicAliasMaximum
    else { return 0 }
    return self.alias(in: sessions.extras[extra].receivedAliases, alias)
  }

  /// What we call a topic towards the client: an alias, and whether the client knows it already;
  /// nil when no alias is left.
  func sentAlias(_ session: UInt32, _ topic: Span<UInt8>) -> (alias: UInt16, isKnown: Bool)? {
    let extra = sessions.records[session].extras
    guard extra != 0, sessions.extras[extra].sendAliasMaximum != 0 else { return nil }
    if sessions.extras[extra].sentAliases == 0 {
      guard let table = makeAliasTable() else { return nil }
      sessions.extras[extra].sentAliases = table
    }
    let table = sessions.extras[extra].sentAliases
    let count = sessions.extras[extra].sendAliasCount
    for candidate in 0..<count
    where sessions.blocks.text(alias(in: table, candidate + 1), equals: topic) {
      return (candidate + 1, true)
    }
    guard count < sessions.extras[extra].sendAliasMaximum, setAlias(table, count + 1, topic) else {
      return nil
    }
    sessions.extras[extra].sendAliasCount = count + 1
    return (count + 1, false)
  }

  /// Forgets all aliases of a connection that has ended.
  func forgetAliases(_ session: UInt32) {
    let extra = sessions.records[session].extras
    guard extra != 0 else { return }
    freeAliasTable(sessions.extras[extra].receivedAliases)
    freeAliasTable(sessions.extras[extra].sentAliases)
    sessions.extras[extra].receivedAliases = 0
    sessions.extras[extra].sentAliases = 0
    sessions.extras[extra].sendAliasCount = 0
  }

  private func makeAliasTable() -> UInt32? {
    sessions.blocks.allocateWords(Int(options.topicAliasMaximum))
  }

  private func alias(in table: UInt32, _ alias: UInt16) -> UInt32 {
    sessions.blocks.word(table, Int(alias) - 1)
  }

  private func setAlias(_ table: UInt32, _ alias: UInt16, _ topic: Span<UInt8>) -> Bool {
    guard let text = sessions.blocks.intern(topic) else { return false }
    let old = self.alias(in: table, alias)
    if old != 0 { sessions.blocks.free(old) }
    sessions.blocks.setWord(table, Int(alias) - 1, text)
    return true
  }

  private func freeAliasTable(_ table: UInt32) {
    guard table != 0 else { return }
    for alias in 0..<options.topicAliasMaximum {
      let text = self.alias(in: table, alias + 1)
      if text != 0 { sessions.blocks.free(text) }
    }
    sessions.blocks.free(table)
  }
}

extension Worker {
  /// Takes the newest alias that we gave out back: the message that would have told it was not
  /// sent.
  func untellAlias(_ session: UInt32) {
    let extra = sessions.records[session].extras
    guard extra != 0, sessions.extras[extra].sendAliasCount > 0 else { return }
    sessions.extras[extra].sendAliasCount -= 1
  }
}

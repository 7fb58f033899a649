import Conf
import Logging
import Synchronization
import Testing

@testable import Bifrost

@Suite("Log")
struct LogTests {
  @Test(
    "times in UTC",
    arguments: [
      (0, "1970-01-01T00:00:00.007Z"), (951_782_399, "2000-02-28T23:59:59.007Z"),
      (951_782_400, "2000-02-29T00:00:00.007Z"), (951_868_800, "2000-03-01T00:00:00.007Z"),
      (1_795_438_800, "2026-11-23T13:00:00.007Z"), (4_107_542_400, "2100-03-01T00:00:00.007Z"),
      (-1, "1969-12-31T23:59:59.007Z"), (253_402_300_799, "9999-12-31T23:59:59.007Z"),
    ])
  func timestamps(seconds: Int, expected: String) {
    #expect(Timestamp(seconds: seconds, milliseconds: 7).description == expected)
  }

  @Test("the clock is past the day this was written and its milliseconds are in range")
  func clock() {
    let now = Timestamp.now()
    #expect(now.seconds > 1_700_000_000)
    #expect(0..<1000 ~= now.milliseconds)
  }

  private func line(_ message: String, _ fields: [(String, String)] = []) -> LogLine {
    LogLine(
      time: Timestamp(seconds: 0, milliseconds: 0), level: "info", message: message,
      fields: fields.map { (name: $0.0, value: $0.1) })
  }

  @Test("a line of text")
  func text() {
    let fields = [("client", "a b"), ("empty", ""), ("n", "1"), ("q", "say \"x\"=y")]
    #expect(
      line("listening on 127.0.0.1:1883", fields).text
        == "1970-01-01T00:00:00.000Z info  listening on 127.0.0.1:1883 "
        + #"client="a b" empty="" n=1 q="say \"x\"=y""# + "\n")
  }

  @Test("a line of JSON")
  func json() {
    let fields = [("client", "a\"b"), ("level", "x"), ("n", "1")]
    #expect(
      line("said \"hi\"", fields).json
        == #"{"time":"1970-01-01T00:00:00.000Z","level":"info","message":"said \"hi\"","#
        + #""client":"a\"b","_level":"x","n":"1"}"# + "\n")
    #expect(line("x").json.hasSuffix(#""message":"x"}"# + "\n"))
  }

  @Test(
    "what a client sends can neither end a line nor drive a terminal",
    arguments: [
      "a\nb", "a\r\nb", "a\u{1B}[2Jb", "a\u{2028}b", "a\u{202E}b", "a\u{85}b", "a\u{0}b", "a\tb",
    ])
  func escapes(value: String) {
    let line = line(value, [(value, value)])
    for text in [line.text, line.json] {
      #expect(text.unicodeScalars.count { $0 == "\n" } == 1)
      #expect(text.hasSuffix("\n"))
      #expect(
        text.unicodeScalars.dropLast().allSatisfy { $0.value >= 0x20 && $0.value < 0x7F }, "\(text)"
      )
    }
    #expect(line.json.contains("\\"))
  }

  @Test("letters of all scripts stay as they are")
  func unicode() {
    #expect(self.line("grüße 你好 🦋").text.contains("grüße 你好 🦋"))
    #expect(self.line("grüße 你好 🦋").json.contains("grüße 你好 🦋"))
  }

  @Test("fields of the call win over the logger's, and all are in the order of their names")
  func metadata() {
    let lines = Lines()
    var logger = Logger(label: "test") { _ in
      LineLogHandler(level: .info, format: .text, write: { lines.append($0) })
    }
    logger[metadataKey: "loop"] = "1"
    logger[metadataKey: "client"] = "a"
    logger.info("x", metadata: ["client": "b", "a": "c"])
    logger.debug("not logged")
    #expect(lines.all.count == 1)
    #expect(lines.all.first?.hasSuffix(" info  x a=c client=b loop=1\n") == true)
  }

  @Test("each level of the configuration is the one of its name", arguments: LogLevel.allCases)
  func levels(level: LogLevel) {
    #expect(Logger.Level(level).rawValue == level.rawValue)
  }
}

/// Lines that a handler wrote.
private final class Lines: Sendable {
  private let lines = Mutex<[String]>([])

  func append(_ line: String) { lines.withLock { $0.append(line) } }

  var all: [String] { lines.withLock { $0 } }
}

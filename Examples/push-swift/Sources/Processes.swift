import Foundation

/// A process that ends with the demonstration.
final class Child {
  private let process = Process()
  private let ended = DispatchSemaphore(value: 0)

  /// Starts a program. Its standard error goes to a file, or to ours.
  init(_ program: String, _ arguments: [String], log: URL? = nil) throws {
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    if let log {
      try Data().write(to: log)
      process.standardError = try FileHandle(forWritingTo: log)
    }
    process.terminationHandler = { [ended] _ in ended.signal() }
    try process.run()
  }

  /// Whether it runs.
  var isRunning: Bool { process.isRunning }

  /// Ends it with a signal, and waits until it has ended. To be called once.
  func stop(_ signal: Int32 = SIGTERM) {
    if process.isRunning { kill(process.processIdentifier, signal) }
    // Not `waitUntilExit`, which needs the run loop of the thread that began it.
    ended.wait()
  }
}

/// An address and a port.
struct Address: CustomStringConvertible {
  let host: String
  let port: Int

  /// The address that a text such as "127.0.0.1:5051" names.
  init(_ text: some StringProtocol) throws {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...])
    else { throw Failure("no address and port: \(text)") }
    host = String(text[..<colon])
    self.port = port
  }

  var description: String { "\(host):\(port)" }
}

/// A broker that asks this backend, on ports that the system chooses.
final class OwnBroker {
  private let child: Child
  private let directory: URL
  /// Where it listens for backends.
  private(set) var grpc: Address
  /// Where it listens for devices.
  private(set) var mqtt: Address

  /// Starts it, and waits until it listens.
  init(_ binary: String, hooks: Address) async throws {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    let log = directory.appendingPathComponent("broker.log")
    child = try Child(
      binary,
      [
        "serve", "--data-dir", directory.path, "--mqtt-tcp-listen", "127.0.0.1:0",
        "--grpc-listen", "127.0.0.1:0", "--hooks-connect-endpoints", hooks.description,
        "--hooks-delivered-endpoints", hooks.description,
      ], log: log)
    do {
      (grpc, mqtt) = try await Self.addresses(log, child)
    } catch {
      child.stop()
      throw error
    }
  }

  /// Ends it, and removes its data.
  func stop() {
    child.stop()
    try? FileManager.default.removeItem(at: directory)
  }

  private static func addresses(_ log: URL, _ child: Child) async throws -> (Address, Address) {
    var text = ""
    for _ in 0..<1000 {
      text = try String(contentsOf: log, encoding: .utf8)
      // The last line may be half written.
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
      let listening = lines.filter { $0.contains("listening on ") }
      let backends = listening.first { $0.contains("grpc: ") }
      let devices = listening.first { !$0.contains("grpc: ") }
      if let backends, let devices {
        return (try Address(lastWord(backends)), try Address(lastWord(devices)))
      }
      guard child.isRunning else { break }
      try await Task.sleep(for: .milliseconds(20))
    }
    throw Failure("the broker does not listen:\n\(text)")
  }

  private static func lastWord(_ line: Substring) -> Substring {
    line.split(separator: " ").last ?? ""
  }
}

/// A device: mosquitto_sub, which subscribes to what is for it and prints what comes.
func device(_ name: String, password: String, at address: Address) throws -> Child {
  try Child(
    "/usr/bin/env",
    [
      "mosquitto_sub", "-h", address.host, "-p", String(address.port), "-V", "mqttv5", "-i", name,
      "-u", name, "-P", password, "-q", "1", "-t", "devices/\(name)/#", "-F", "\(name): %t %p",
    ])
}

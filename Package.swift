// swift-tools-version: 6.2
import PackageDescription

/// Every target: checked memory safety, lifetimes for spans, no warning left standing.
let settings: [SwiftSetting] = [
  .strictMemorySafety(),
  .enableExperimentalFeature("Lifetimes"),
  .treatAllWarnings(as: .error),
  // The hot modules are small and call each other per packet; without cross-module optimization,
  // generic slabs and indices are not specialised across module borders. The law of exclusivity
  // is checked at compile time everywhere, and at run time in debug builds, which the tests use.
  .unsafeFlags(
    ["-cross-module-optimization", "-enforce-exclusivity=unchecked"],
    .when(configuration: .release)),
]

/// An internal target with its allowed imports; `scripts/check-imports` holds the sources to them.
func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(
  _ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []
) -> Target {
  .testTarget(
    name: name, dependencies: dependencies, resources: resources, swiftSettings: settings)
}

let package = Package(
  name: "bifrost",
  products: [.executable(name: "bifrost", targets: ["Bifrost"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(
      url: "https://github.com/apple/swift-configuration", from: "1.4.0",
      traits: [.defaults, "YAML", "CommandLineArguments", "Reloading"]),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
  ],
  targets: [
    .target(name: "CLinux"),
    module("Util"),
    module("Packet", ["Util"]),
    module("Net", ["Util", "CLinux"]),
    module("PubSub", ["Packet", "Util"]),
    module("Store", ["Packet", "Util"]),
    .systemLibrary(
      name: "CSQLite", providers: [.apt(["libsqlite3-dev"])]),
    module("StoreSQLite", ["Store", "PubSub", "Packet", "Util", "CSQLite"]),
    module("Session", ["PubSub", "Packet", "Store", "Util"]),
    module(
      "MQTTServer",
      [
        "Session", "PubSub", "Packet", "Net", "Store", "Util",
        .product(name: "Logging", package: "swift-log"),
      ]),
    module(
      "Conf",
      [
        "Util",
        .product(name: "Configuration", package: "swift-configuration"),
        .product(name: "Yams", package: "Yams"),
      ]),
    module("Client", ["Packet", "Net", "Util", "CLinux"]),
    module(
      "Bench",
      [
        "Client", "Packet", "Net", "Util",
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ]),
    module("Doctor", ["Util"]),
    .executableTarget(
      name: "Bifrost",
      dependencies: [
        "MQTTServer", "Session", "PubSub", "Packet", "Net", "Store", "StoreSQLite", "Conf",
        "Client",
        "Bench",
        "Doctor", "Util", "CLinux",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: settings),
    tests("UtilTests", ["Util"]),
    tests("PacketTests", ["Packet", "Util"]),
    tests("NetTests", ["Net", "Util", "CLinux"]),
    tests("PubSubTests", ["PubSub", "Packet", "Util"]),
    tests("StoreTests", ["Store", "Util"]),
    tests("StoreSQLiteTests", ["StoreSQLite", "Store", "PubSub", "Packet", "Util", "CSQLite"]),
    tests("SessionTests", ["Session", "PubSub", "Packet", "Store", "Util"]),
    tests(
      "MQTTServerTests",
      [
        "MQTTServer", "Session", "PubSub", "Packet", "Net", "Store", "StoreSQLite", "Util",
        .product(name: "Logging", package: "swift-log"),
      ]),
    tests("ConfTests", ["Conf", "Util"]),
    tests("ClientTests", ["Client", "Packet", "Net", "Util"]),
    tests("BenchTests", ["Bench", "Client", "Packet", "Net", "Util"]),
    tests("DoctorTests", ["Doctor", "Util"]),
    tests(
      "BifrostTests",
      [
        "Bifrost", "MQTTServer", "Conf", "Store", "StoreSQLite",
        .product(name: "Logging", package: "swift-log"),
      ]),
  ]
)

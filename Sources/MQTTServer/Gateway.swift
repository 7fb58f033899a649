import Packet
import Session
import Store
import Util

extension MQTTBroker: Gateway {
  /// Event loops there are: 1 to 64.
  public var loopCount: Int { options.loops }
  /// Whether sessions and messages outlive the process.
  public var isDurable: Bool { broker.durable != nil }
  /// Whether loops or the store are so far behind that nothing more should be published at present.
  public var isPressed: Bool { broker.isPressed }
  /// What happened to clients of late.
  public var events: ClientEvents { broker.events }
}

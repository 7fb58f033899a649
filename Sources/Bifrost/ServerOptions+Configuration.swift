import Conf
import MQTTServer
import Util

extension ServerOptions {
  /// The options of a broker that is configured so.
  ///
  /// Where a field is narrower than the value, clamping changes nothing: the table's ranges are
  /// those of the fields, which a test holds it to.
  init(_ values: BrokerConfiguration) {
    self.init()
    listen = values.listen.map { ListenEndpoint(host: $0.host, port: $0.port) }
    loops = values.loops
    privateDescriptors =
      switch values.privateDescriptors {
      case .auto: .auto
      case .on: .on
      case .off: .off
      }
    maximumConnections = values.maximumConnections
    systemIntervalMilliseconds = values.systemIntervalMilliseconds
    connectTimeoutMilliseconds = values.connectTimeoutMilliseconds
    maximumKeepAlive = UInt16(clamping: values.maximumKeepAliveMilliseconds / 1000)
    maximumSessionExpiry = UInt32(clamping: values.maximumSessionExpiryMilliseconds / 1000)
    maximumPacketSize = values.maximumPacketBytes
    maximumOutputBytes = values.maximumOutputBytes
    topicAliasMaximum = UInt16(clamping: values.topicAliasMaximum)
    maximumSubscriptions = values.maximumSubscriptions
    maximumTopicLevels = values.maximumTopicLevels
    maximumClientIDBytes = values.maximumClientIDBytes
    maximumRetainedMessages = values.maximumRetainedMessages
    maximumRetainedBytes = values.maximumRetainedBytes
    checksPayloadFormat = values.checksPayloadFormat
    maximumQoS = values.maximumQoS
    retainAvailable = values.retainAvailable
    wildcardSubscriptionAvailable = values.wildcardSubscriptions
    sharedSubscriptionAvailable = values.sharedSubscriptions
    parkAfterMilliseconds = values.parkAfterMilliseconds
    watchedEvents = values.watchEvents
    watchMilliseconds = values.watchKeepMilliseconds
    session.maximumInflight = values.maximumInflight
    session.receiveMaximum = values.receiveMaximum
    session.maximumQueuedMessages = values.maximumQueuedMessages
    session.maximumQueuedBytes = values.maximumQueuedBytes
  }
}

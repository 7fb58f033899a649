import FoundationEssentials
import GRPCCore
import NIOCore
import NIOHPACK
import NIOHTTP2

/// Refuses a message that is too large when its length is read, before any of it is kept. It stands between
/// HTTP/2 and gRPC in each stream, and follows the lengths of messages: one byte of flags and four of length
/// stand before each.
final class MessageSizeGuard: ChannelDuplexHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias InboundOut = HTTP2Frame.FramePayload
  typealias OutboundIn = HTTP2Frame.FramePayload
  typealias OutboundOut = HTTP2Frame.FramePayload

  /// How the call is ended.
  struct Trailers: Sendable {
    let limit: Int
    private let fields: [(String, String)]

    init(limit: Int) {
      self.limit = limit
      let refusal = Refusal(
        .resourceExhausted, "MESSAGE_TOO_LARGE",
        "the message has more than \(limit) bytes, which is grpc.max-message-bytes")
      fields =
        [("grpc-status", "\(refusal.code.rawValue)"), ("grpc-message", refusal.message)]
        + refusal.rpcErrorMetadata.compactMap { key, value in
          guard case .binary(let bytes) = value else { return nil }
          return (key, Data(bytes).base64EncodedString())
        }
    }

    /// The last headers of a call; with what the first ones have where there were none.
    fileprivate func headers(isFirst: Bool) -> HPACKHeaders {
      let first = [(":status", "200"), ("content-type", "application/grpc")]
      return HPACKHeaders((isFirst ? first : []) + fields)
    }
  }

  private static let prefixBytes = 5

  private let limit: Int
  private let trailers: Trailers
  /// The length before the next message, as far as it is there.
  private var length = 0
  private var prefix = 0
  /// Bytes of the present message that are to come.
  private var left = 0
  private var hasSentHeaders = false
  private var isOver = false

  init(limit: Int, trailers: Trailers) {
    self.limit = limit
    self.trailers = trailers
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isOver { return }
    let frame = unwrapInboundIn(data)
    if case .data(let content) = frame, case .byteBuffer(let buffer) = content.data,
      !follow(buffer.readableBytesView)
    {
      refuse(context)
      return
    }
    context.fireChannelRead(data)
  }

  /// Follows the messages through some bytes; false at one that is too large.
  private func follow(_ bytes: ByteBufferView) -> Bool {
    var index = bytes.startIndex
    while index < bytes.endIndex {
      if left > 0 {
        let step = min(left, bytes.endIndex - index)
        left -= step
        index += step
        continue
      }
      // The flags come first, and are not looked at.
      if prefix > 0 { length = length << 8 | Int(bytes[index]) }
      prefix += 1
      index += 1
      guard prefix == Self.prefixBytes else { continue }
      if length > limit { return false }
      left = length
      length = 0
      prefix = 0
    }
    return true
  }

  private func refuse(_ context: ChannelHandlerContext) {
    isOver = true
    let headers = HTTP2Frame.FramePayload.Headers(
      headers: trailers.headers(isFirst: !hasSentHeaders), endStream: true)
    context.write(wrapOutboundOut(.headers(headers)), promise: nil)
    // The answer is whole, and the rest of the request is of no use (RFC 9113, 8.1). What waits for it is told
    // by the end of the stream.
    context.writeAndFlush(wrapOutboundOut(.rstStream(.noError)), promise: nil)
  }

  func write(
    context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?
  ) {
    if isOver {
      promise?.fail(ChannelError.ioOnClosedChannel)
      return
    }
    if case .headers = unwrapOutboundIn(data) { hasSentHeaders = true }
    context.write(data, promise: promise)
  }
}

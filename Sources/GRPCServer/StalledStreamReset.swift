import NIOCore
import NIOHTTP2

/// Resets a stream that its peer has not read for long. The call has ended with a status before, which waits behind
/// what is not read; without the reset it would wait for as long as the connection lasts.
final class StalledStreamReset: ChannelInboundHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias OutboundOut = HTTP2Frame.FramePayload

  private let patience: TimeAmount
  private var alarm: Scheduled<Void>?

  /// - Parameter patience: how long nothing of a full buffer may be read.
  init(patience: TimeAmount) { self.patience = patience }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    alarm?.cancel()
    alarm = nil
    if !context.channel.isWritable {
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      alarm = context.eventLoop.scheduleTask(in: patience) {
        let context = bound.value
        // Which gRPC takes for RESOURCE_EXHAUSTED.
        let reset = HTTP2Frame.FramePayload.rstStream(.enhanceYourCalm)
        context.writeAndFlush(NIOAny(reset), promise: nil)
        context.close(promise: nil)
      }
    }
    context.fireChannelWritabilityChanged()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    alarm?.cancel()
    alarm = nil
  }

  func channelInactive(context: ChannelHandlerContext) {
    alarm?.cancel()
    alarm = nil
    context.fireChannelInactive()
  }
}

import CulvertConfig
import CulvertCore
import CulvertSystem
import Logging
import NIOCore

/// Takes the PROXY header off the start of a client's connection, in front of TLS, passes it to the handlers behind by
/// an event, and removes itself.
///
/// A peer that sends this header can claim any address, so only trusted proxies may connect. They must send it, because
/// the listener could otherwise not tell a proxy's own connections from those of clients.
final class ProxyHeaderReader: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let edge: EdgeContext
    private let state: LoopState
    /// Counts for the client that the header names; nil when this has left.
    private var place: ConnectionPlace?
    private var received = ByteBuffer()
    private var deadline: LoopTimers.Timer?
    private var phase = Phase.awaiting

    private enum Phase {
        case awaiting
        case passed
        case closed
    }

    init(edge: EdgeContext, state: LoopState, place: ConnectionPlace) {
        self.edge = edge
        self.state = state
        self.place = place
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.deadline = self.state.timers.schedule(in: self.state.rules.config.limits.handshake) {
            self.giveUp(context, "no PROXY header in time", level: .info)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.state.timers.cancel(self.deadline)
        self.place = nil
    }

    /// The peer's address is known by now, which it is not when the handler is added.
    func channelActive(context: ChannelHandlerContext) {
        if let peer = context.channel.remoteAddress?.canonicalAddress, self.state.rules.trustedProxies.trusts(peer) {
            context.fireChannelActive()
        } else {
            // Every peer can cause this line, so it is logged at `debug`.
            self.giveUp(context, "no trusted proxy", level: .debug)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard self.phase == .awaiting else {
            if self.phase == .passed { context.fireChannelRead(data) }
            return
        }
        var part = self.unwrapInboundIn(data)
        self.received.writeBuffer(&part)
        switch ProxyHeader.parse(self.received) {
        case .needMore: break
        case .invalid(let reason): self.giveUp(context, reason, level: .info)
        case .header(let header, let length):
            guard self.count(header) else {
                self.edge.notices.warn(ClientPipeline.tooManyHandshakes)
                self.phase = .closed
                context.close(promise: nil)
                return
            }
            self.phase = .passed
            self.received.moveReaderIndex(forwardBy: length)
            context.fireUserInboundEventTriggered(header)
            if self.received.readableBytes > 0 { context.fireChannelRead(self.wrapInboundOut(self.received)) }
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        }
    }

    /// Such a connection is a single client's, so it is a handshake of that client from here on. Another trusted proxy
    /// that the header names may carry many.
    ///
    /// - Returns: false when the client has as many as it may.
    private func count(_ header: ProxyHeader) -> Bool {
        guard case .proxied(let source, _) = header, let place = self.place else { return true }
        let rules = self.state.rules
        let client = source.address.description
        if rules.trustedProxies.trusts(client) { return true }
        return self.edge.admissions.count(place, for: AddressKey(client), limits: rules.config.limits)
    }

    private func giveUp(_ context: ChannelHandlerContext, _ reason: String, level: Logger.Level) {
        guard self.phase == .awaiting else { return }
        self.phase = .closed
        self.state.timers.cancel(self.deadline)
        self.edge.logger.log(
            level: level, "connection closed before its PROXY header",
            metadata: [
                "peer": "\(context.channel.remoteAddress?.canonicalAddress ?? "unknown")", "reason": "\(reason)",
            ])
        context.close(promise: nil)
    }
}

import Foundation
import NIOCore
import NIOWebSocket

/// The connections of one backend. Used on the backend's event loop only.
final class DemoRoom {
    private var connections: [ObjectIdentifier: DemoConnection] = [:]

    func enter(_ connection: DemoConnection) {
        connections[ObjectIdentifier(connection)] = connection
    }

    func leave(_ connection: DemoConnection) {
        connections[ObjectIdentifier(connection)] = nil
    }

    func broadcast(_ text: ByteBuffer) {
        // A copy of the values: sending may close a connection, which leaves the room.
        for connection in Array(connections.values) where connection.isChat {
            connection.deliver(text)
        }
    }

    func leaveAll(on loop: any EventLoop) -> EventLoopFuture<Void> {
        let closed = Array(connections.values).compactMap { $0.goAway() }
        return EventLoopFuture.andAllComplete(closed, on: loop)
    }
}

/// One WebSocket client of the demo backend.
final class DemoConnection: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    private enum State {
        case open
        /// Our Close is sent; whatever still comes is dropped until the peer closes or time is up. To close at once
        /// with unread bytes would reset the connection and may take the Close frame with it (RFC 6455, 7.1.1).
        case closing
    }

    let isChat: Bool
    private let user: String
    private let room: DemoRoom
    private var context: ChannelHandlerContext?
    private var state = State.open
    private var opcode: WebSocketOpcode?
    private var message = ByteBuffer()
    private var needsFlush = false
    private var closeTimer: Scheduled<Void>?

    init(room: DemoRoom, isChat: Bool, user: String) {
        self.room = room
        self.isChat = isChat
        self.user = user
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        room.enter(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        closeTimer?.cancel()
        room.leave(self)
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        room.leave(self)
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        guard state == .open else {
            if frame.opcode == .connectionClose { context.close(promise: nil) }
            return
        }
        // RFC 6455, 5.1: a client masks every frame; 5.2: no extension is negotiated, so no reserved bit is set.
        guard frame.maskKey != nil, !frame.rsv1, !frame.rsv2, !frame.rsv3 else {
            return fail(context, .protocolError, "bad frame header")
        }
        switch frame.opcode {
        case .ping:
            write(context, .pong, frame.unmaskedData)
        case .pong:
            break
        case .connectionClose:
            answerClose(context, frame.unmaskedData)
        case .text, .binary:
            guard opcode == nil else { return fail(context, .protocolError, "message within a message") }
            if frame.fin {
                receive(context, frame.opcode, frame.unmaskedData)
            } else {
                opcode = frame.opcode
                message = frame.unmaskedData
            }
        case .continuation:
            append(context, frame)
        default:
            fail(context, .protocolError, "unknown opcode")
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if needsFlush {
            needsFlush = false
            context.flush()
        }
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        // Who does not take the echoes is not read any further, so no more than the high water mark is buffered.
        try? context.channel.syncOptions?.setOption(.autoRead, value: context.channel.isWritable)
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error as? NIOWebSocketError {
        case .invalidFrameLength?: fail(context, .messageTooLarge, "frame too big")
        case .some: fail(context, .protocolError, "bad frame")
        case nil: context.close(promise: nil)
        }
    }

    private func append(_ context: ChannelHandlerContext, _ frame: WebSocketFrame) {
        guard let opcode else { return fail(context, .protocolError, "continuation of nothing") }
        var part = frame.unmaskedData
        guard part.readableBytes <= DemoBackend.messageLimit - message.readableBytes else {
            return fail(context, .messageTooLarge, "message too big")
        }
        message.writeBuffer(&part)
        guard frame.fin else { return }
        let whole = message
        self.opcode = nil
        message = ByteBuffer()
        receive(context, opcode, whole)
    }

    private func receive(_ context: ChannelHandlerContext, _ opcode: WebSocketOpcode, _ payload: ByteBuffer) {
        guard opcode == .text else {
            guard !isChat else { return fail(context, .unacceptableData, "the chat takes text only") }
            return write(context, .binary, payload)
        }
        // RFC 6455, 8.1.
        guard let text = String(validating: payload.readableBytesView, as: UTF8.self) else {
            return fail(context, .dataInconsistentWithMessage, "text is not UTF-8")
        }
        guard isChat else { return write(context, .text, payload) }
        // Escaping lengthens a text; what no client could take any more must not close everybody's connection.
        guard let line = DemoChatLine(from: user, text: text).json(), line.readableBytes <= DemoBackend.messageLimit
        else { return fail(context, .messageTooLarge, "message too big") }
        room.broadcast(line)
    }

    /// Sends a line of the chat, out of another connection's read.
    func deliver(_ text: ByteBuffer) {
        guard let context, state == .open else { return }
        // The room cannot wait for its slowest member, nor keep the talk of hours for it.
        guard context.channel.isWritable else { return context.close(promise: nil) }
        context.writeAndFlush(wrapOutboundOut(WebSocketFrame(fin: true, opcode: .text, data: text)), promise: nil)
    }

    /// Says 1001 and closes without waiting for the answer; nil when the connection has gone already.
    func goAway() -> EventLoopFuture<Void>? {
        guard let context else { return nil }
        if state == .open { sendClose(context, .goingAway, "the backend stops") }
        let closed = context.channel.closeFuture
        context.close(promise: nil)
        return closed
    }

    private func write(_ context: ChannelHandlerContext, _ opcode: WebSocketOpcode, _ payload: ByteBuffer) {
        context.write(wrapOutboundOut(WebSocketFrame(fin: true, opcode: opcode, data: payload)), promise: nil)
        needsFlush = true
    }

    private func answerClose(_ context: ChannelHandlerContext, _ payload: ByteBuffer) {
        state = .closing
        // RFC 6455, 5.5.1: the answer echoes the status code.
        let code = payload.getSlice(at: payload.readerIndex, length: min(2, payload.readableBytes)) ?? ByteBuffer()
        let frame = WebSocketFrame(fin: true, opcode: .connectionClose, data: code)
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(frame)).whenComplete { _ in channel.close(promise: nil) }
    }

    private func fail(_ context: ChannelHandlerContext, _ code: WebSocketErrorCode, _ reason: String) {
        guard state == .open else { return }
        sendClose(context, code, reason)
        message = ByteBuffer()
        let channel = context.channel
        closeTimer = context.eventLoop.scheduleTask(in: .seconds(5)) { channel.close(promise: nil) }
    }

    private func sendClose(_ context: ChannelHandlerContext, _ code: WebSocketErrorCode, _ reason: String) {
        state = .closing
        var payload = ByteBuffer()
        payload.write(webSocketErrorCode: code)
        payload.writeString(reason)
        context.writeAndFlush(
            wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: payload)),
            promise: nil
        )
    }
}

/// What a member of the chat sees of a message.
struct DemoChatLine: Encodable {
    var from: String
    var text: String

    func json() -> ByteBuffer? {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(self)).map { ByteBuffer(bytes: $0) }
    }
}

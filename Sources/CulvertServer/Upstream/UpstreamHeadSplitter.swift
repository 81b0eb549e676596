import NIOCore

/// Stands before the HTTP decoder and lets it see no more than the heads of the answer to an upgrade.
///
/// What comes behind the 101 is the leg's. The decoder would keep it until its own removal a tick later, and drop it
/// when the connection ends before that: an upstream that says why and hangs up at once would not be heard.
final class UpstreamHeadSplitter: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private enum Mode {
        case heads
        /// A final answer other than 101: HTTP to its end.
        case passing
        /// Behind the 101: held until there is a leg.
        case switched
    }

    /// A longer head is the decoder's to refuse.
    private static let headLimit = 128 * 1024

    private var mode = Mode.heads
    private var held = ByteBuffer()
    private var isInactive = false
    private var context: ChannelHandlerContext?

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    /// A leg stands behind this handler now: gives it what was held, and leaves.
    func release() {
        guard let context = self.context else { return }
        if self.held.readableBytes > 0 { context.fireChannelRead(self.wrapInboundOut(self.held)) }
        if self.isInactive { context.fireChannelInactive() }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if self.mode == .passing {
            context.fireChannelRead(data)
            return
        }
        self.held.writeImmutableBuffer(self.unwrapInboundIn(data))
        self.split(context)
    }

    private func split(_ context: ChannelHandlerContext) {
        while self.mode == .heads {
            guard let length = Self.headLength(self.held.readableBytesView) else {
                // The decoder says at once what is no HTTP.
                let isHTTP = zip(self.held.readableBytesView, "HTTP/".utf8).allSatisfy(==)
                if !isHTTP || self.held.readableBytes > Self.headLimit { self.pass(context) }
                return
            }
            let status = self.held.getBytes(at: self.held.readerIndex + 9, length: 3) ?? []
            guard status.first == UInt8(ascii: "1"), let head = self.held.readSlice(length: length) else {
                self.pass(context)
                return
            }
            // Another 1xx comes before the answer (RFC 9110 15.2).
            if status == Array("101".utf8) { self.mode = .switched }
            context.fireChannelRead(self.wrapInboundOut(head))
        }
    }

    private func pass(_ context: ChannelHandlerContext) {
        self.mode = .passing
        let bytes = self.held
        self.held = ByteBuffer()
        if bytes.readableBytes > 0 { context.fireChannelRead(self.wrapInboundOut(bytes)) }
    }

    /// Up to and with the empty line; a lone LF ends a line too (RFC 9112 2.2).
    private static func headLength(_ bytes: ByteBufferView) -> Int? {
        var previous = bytes.startIndex
        while let end = bytes[previous...].firstIndex(of: UInt8(ascii: "\n")) {
            let line = bytes[previous..<end]
            if previous > bytes.startIndex, line.isEmpty || line.elementsEqual([UInt8(ascii: "\r")]) {
                return end + 1 - bytes.startIndex
            }
            previous = end + 1
        }
        return nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        if self.mode == .switched {
            self.isInactive = true
            return
        }
        self.pass(context)
        context.fireChannelInactive()
    }
}

import NIOCore

extension ChannelHandlerContext {
    /// Closes the connection, whose peer has ended its direction, when all that was written is out.
    func closeBehindOutput() {
        let channel = self.channel
        self.writeAndFlush(NIOAny(ByteBuffer())).whenComplete { _ in
            channel.close(promise: nil)
            // TLS waits for a close_notify, which does not come any more.
            channel.cut()
        }
    }
}

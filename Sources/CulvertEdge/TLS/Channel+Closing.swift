import NIOCore
import NIOSSL

extension Channel {
    /// Closes the socket at once, whatever is unwritten. TLS's own close handshake, which waits up to 5 s for the peer,
    /// is left out. On the channel's event loop.
    func cut() {
        guard self.isActive else { return }
        if let tls = try? self.pipeline.syncOperations.context(handlerType: NIOSSLHandler.self) {
            tls.close(promise: nil)
        } else {
            self.close(promise: nil)
        }
    }

    /// Ends our direction behind what is written, and then the connection, of which the peer has ended its direction. TLS
    /// would wait for a close_notify that may never come. On the channel's event loop.
    ///
    /// In a tick of its own: an answer may have brought the end about, and while its bytes are being flushed nothing that
    /// TLS writes goes out. Where the peer has said close_notify, TLS closes the socket right behind its own.
    func closeBehindInput() {
        let channel: any Channel = self
        channel.eventLoop.execute {
            channel.close(mode: .output).assumeIsolated().whenComplete { _ in channel.cut() }
        }
    }
}

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
}

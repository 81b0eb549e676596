import CulvertConfig
import CulvertCore
package import NIOCore
import NIOSSL
import NIOTLS

/// The name that a server's certificate must be for.
///
/// NIOSSL also takes a certificate for the address of the socket, although a name was asked for. So a certificate for
/// an address would do for every name that leads to it, and any client of a public authority has such a certificate.
/// The name alone counts (RFC 9525 section 6.1).
///
/// NIOSSL also takes a wildcard that is a part of a label, and the common name of a certificate that has no names.
/// RFC 9525 takes neither (sections 6.3 and 2): an authority need not check a common name.
package struct PeerName: Sendable {
    /// A certificate that is for another name.
    package struct Mismatch: Error, CustomStringConvertible {
        package var name: String
        /// The certificate has no name at all to compare.
        package var isNameless = false

        package var description: String {
            self.isNameless
                ? "the server's certificate has no subjectAltName, and so is not for the name \(self.name)"
                : "the server's certificate is not for the name \(self.name)"
        }
    }

    /// In lower case, without the dot of the root.
    private let name: String

    /// - Returns: nil for an IP address, for which NIOSSL's own look is enough.
    package init?(_ host: String) {
        var name = host.asciiLowercased
        if name.utf8.last == UInt8(ascii: ".") { name = String(decoding: name.utf8.dropLast(), as: UTF8.self) }
        if name.isEmpty || name.utf8.first == UInt8(ascii: "[") || name.isIPAddress { return nil }
        self.name = name
    }

    /// Fails with ``Mismatch`` when the server at the other end of `channel` has shown a certificate for another name.
    /// Called when the TLS handshake is over, on any loop.
    package func check(_ channel: any Channel) -> EventLoopFuture<Void> {
        channel.nioSSL_peerCertificate().flatMapThrowing { try self.check($0) }
    }

    fileprivate func check(_ certificate: NIOSSLCertificate?) throws(Mismatch) {
        guard let certificate else { throw Mismatch(name: self.name) }
        let names = TLSContexts.names(of: certificate)
        guard names.contains(where: { TLSContexts.matches($0, self.name) }) else {
            throw Mismatch(name: self.name, isNameless: names.isEmpty)
        }
    }
}

/// Closes a connection to a server whose certificate is not for its name, before a byte is sent in it. Stands behind
/// the handler of TLS, and goes when the certificate has passed.
final class PeerNameCheck: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let name: PeerName
    private var mismatch: PeerName.Mismatch?

    init(_ name: PeerName) { self.name = name }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted? = event as? TLSUserEvent else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        do {
            try self.name.check(
                try? context.pipeline.syncOperations.handler(type: NIOSSLClientHandler.self).peerCertificate)
            context.fireUserInboundEventTriggered(event)
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch {
            self.mismatch = error
            // A regular close of TLS would send the bytes that wait to be written.
            context.channel.cut()
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if self.mismatch == nil { context.fireChannelRead(data) }
    }

    /// TLS tells of an end without its own close in front of the end.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.fireErrorCaught(self.mismatch ?? error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        if let mismatch = self.mismatch { context.fireErrorCaught(mismatch) }
        context.fireChannelInactive()
    }
}

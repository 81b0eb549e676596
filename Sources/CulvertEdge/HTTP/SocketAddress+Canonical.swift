import CulvertCore
import NIOCore

extension SocketAddress {
    /// The IP address in its canonical form; nil for a Unix socket. A listener of both families gives an IPv4 client's
    /// address in its mapped form (RFC 4291 2.5.5.2), which is not what the client is called anywhere else.
    package var canonicalAddress: String? { self.ipAddress.map(IPAddress.canonical) }
}

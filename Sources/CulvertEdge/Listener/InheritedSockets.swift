import Glibc
package import NIOCore

/// Listening sockets that this process did not open: from systemd, or from the process that it takes over from. Neither
/// is believed: a socket is used for a listener only if it listens at the listener's address.
package struct InheritedSockets: Sendable {
    package struct Socket: Sendable, Equatable {
        /// The listener's address as the other process has it in its configuration; nil when it has none.
        package var name: String?
        package var descriptor: CInt

        package func close() { Glibc.close(self.descriptor) }

        package init(name: String?, descriptor: CInt) {
            self.name = name
            self.descriptor = descriptor
        }
    }

    private var sockets: [Socket]

    package init(_ sockets: [Socket] = []) { self.sockets = sockets }

    /// Takes the sockets of one address, found by its name or by the address at which they listen. The caller owns them
    /// from now on.
    ///
    /// - Parameters:
    ///   - name: as the configuration has it.
    ///   - address: what that resolves to.
    /// - Throws: ``ListeningSocket/Misfit`` when one of them is not what its name says.
    package mutating func take(name: String, address: SocketAddress) throws -> [CInt] {
        let found = self.sockets.filter { socket in
            socket.name == name
                || address.host.map { $0 == ListeningSocket.address(of: socket.descriptor)?.host } ?? false
        }
        for socket in found { try ListeningSocket.check(socket.descriptor, listensAt: address) }
        self.sockets.removeAll { found.contains($0) }
        return found.map(\.descriptor)
    }

    /// Closes the sockets that no listener needs.
    ///
    /// - Returns: the addresses at which they listened.
    package mutating func closeRest() -> [String] {
        let rest = self.sockets
        self.sockets = []
        return rest.map { socket in
            let name =
                socket.name ?? ListeningSocket.address(of: socket.descriptor)?.host ?? "descriptor \(socket.descriptor)"
            socket.close()
            return name
        }
    }
}

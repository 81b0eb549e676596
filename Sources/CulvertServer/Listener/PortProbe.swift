import Glibc
import NIOCore

/// Whether an address is free.
///
/// The listening sockets of one listener share their port (SO_REUSEPORT), and would share it as well with another
/// process of the same user: a second Culvert, started by mistake, would take half of the first one's clients without a
/// word. A socket that does not share is refused, and tells.
enum PortProbe {
    /// - Throws: an `IOError` of bind(2), such as EADDRINUSE.
    static func check(_ address: SocketAddress) throws {
        let descriptor = socket(address.protocol.rawValue, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        defer { close(descriptor) }
        var yes: CInt = 1
        // A connection of before that lingers in TIME_WAIT is in nobody's way.
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
        let result = address.withSockAddr { pointer, size in bind(descriptor, pointer, socklen_t(size)) }
        guard result == 0 else { throw IOError(errnoCode: errno, reason: "bind") }
    }
}

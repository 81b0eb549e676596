import Glibc
package import NIOCore

/// Listening sockets of TCP, made here rather than by NIO since their descriptors are handed to the next process.
package enum ListeningSocket {
    private static let backlog: CInt = 4096

    /// Opens `count` sockets on one address; the kernel spreads connections over them (SO_REUSEPORT).
    ///
    /// - Parameter isOurs: the port is one that this process listens on already, and need not be free.
    /// - Throws: an `IOError`, such as EADDRINUSE.
    package static func open(_ address: SocketAddress, count: Int, isOurs: Bool) throws -> [CInt] {
        if !isOurs { try self.probe(address) }
        var address = address
        var descriptors: [CInt] = []
        do {
            for _ in 0..<count {
                let descriptor = try self.make(address, sharesPort: true)
                descriptors.append(descriptor)
                // The others share the port that the first was given.
                if address.port == 0 { address.port = try self.port(of: descriptor) }
            }
        } catch {
            for descriptor in descriptors { close(descriptor) }
            throw error
        }
        return descriptors
    }

    /// Gives sockets that another process has opened the options of our own.
    package static func adopt(_ descriptors: [CInt]) throws -> [CInt] {
        for descriptor in descriptors {
            let flags = fcntl(descriptor, F_GETFL)
            guard flags >= 0, fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == 0,
                fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0
            else { throw self.failure("fcntl") }
        }
        return descriptors
    }

    /// Whether an address is free.
    ///
    /// The sockets of one listener share their port, and would share it as well with another process of the same user:
    /// a second Culvert, started by mistake, would take half of the first one's clients without a word. A socket that
    /// does not share is refused, and tells.
    package static func probe(_ address: SocketAddress) throws {
        let descriptor = try self.make(address, sharesPort: false)
        close(descriptor)
    }

    /// So many connections may wait in it to be accepted.
    static func listen(_ descriptor: CInt) throws {
        guard Glibc.listen(descriptor, self.backlog) == 0 else { throw self.failure("listen") }
    }

    private static func make(_ address: SocketAddress, sharesPort: Bool) throws -> CInt {
        let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(address.protocol.rawValue, kind, 0)
        guard descriptor >= 0 else { throw self.failure("socket") }
        var yes: CInt = 1
        let size = socklen_t(MemoryLayout<CInt>.size)
        // An earlier connection in TIME_WAIT must not keep the socket from being bound.
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, size)
        if sharesPort { setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &yes, size) }
        guard address.withSockAddr({ pointer, size in bind(descriptor, pointer, socklen_t(size)) }) == 0 else {
            let failure = self.failure("bind")
            close(descriptor)
            throw failure
        }
        return descriptor
    }

    private static func port(of descriptor: CInt) throws -> Int {
        guard let port = self.address(of: descriptor)?.port else { throw self.failure("getsockname") }
        return port
    }

    private static func failure(_ what: String) -> IOError { IOError(errnoCode: errno, reason: what) }
}

extension SocketAddress {
    /// `address:port`, IPv6 in brackets; nil for a Unix socket.
    var host: String? {
        guard let ip = self.ipAddress, let port = self.port else { return nil }
        return (ip.contains(":") ? "[\(ip)]" : ip) + ":\(port)"
    }
}

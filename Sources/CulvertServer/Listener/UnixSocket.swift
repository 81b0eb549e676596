import Foundation
import Glibc
import NIOCore

/// A listening socket in the file system, for its owner alone.
enum UnixSocket {
    struct InUse: Error, CustomStringConvertible {
        var description: String
    }

    /// Takes the place of a socket that a process left behind when it died; not of one that is listened to, nor of
    /// anything that is no socket.
    static func listen(_ path: String, isPacket: Bool = false) throws -> CInt {
        if let attributes = try? FileManager.default.attributesOfItem(atPath: path) {
            guard attributes[.type] as? FileAttributeType == .typeSocket else {
                throw InUse(description: "\(path) is there, and no socket")
            }
            if try self.answers(path, isPacket: isPacket) {
                throw InUse(description: "another process listens on \(path)")
            }
            unlink(path)
        }
        let address = try SocketAddress(unixDomainSocketPath: path)
        let descriptor = try self.make(isPacket: isPacket)
        // Nobody can connect before it listens, and by then it is its owner's alone.
        guard address.withSockAddr({ pointer, size in Glibc.bind(descriptor, pointer, socklen_t(size)) }) == 0,
            chmod(path, 0o600) == 0, Glibc.listen(descriptor, 64) == 0
        else {
            let failure = IOError(errnoCode: errno, reason: "bind")
            close(descriptor)
            throw failure
        }
        return descriptor
    }

    /// - Parameter isPacket: one that keeps messages apart (SOCK_SEQPACKET).
    private static func make(isPacket: Bool) throws -> CInt {
        let kind = CInt((isPacket ? SOCK_SEQPACKET : SOCK_STREAM).rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_UNIX, kind, 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        return descriptor
    }

    static func remove(_ path: String) { unlink(path) }

    private static func answers(_ path: String, isPacket: Bool) throws -> Bool {
        guard let descriptor = try self.connect(path, isPacket: isPacket) else { return false }
        close(descriptor)
        return true
    }

    /// Nil when nobody listens there.
    static func connect(_ path: String, isPacket: Bool) throws -> CInt? {
        let address = try SocketAddress(unixDomainSocketPath: path)
        let descriptor = try self.make(isPacket: isPacket)
        // Its queue may be full.
        var time = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        let result = address.withSockAddr { pointer, size in Glibc.connect(descriptor, pointer, socklen_t(size)) }
        if result == 0 { return descriptor }
        let failure = IOError(errnoCode: errno, reason: "connect")
        close(descriptor)
        // One that may not be asked is no nobody.
        guard failure.errnoCode == ECONNREFUSED || failure.errnoCode == ENOENT else { throw failure }
        return nil
    }
}

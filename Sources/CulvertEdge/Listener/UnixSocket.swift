import Foundation
import Glibc
import NIOCore

/// A listening socket in the file system, for its owner alone.
package enum UnixSocket {
    package struct InUse: Error, CustomStringConvertible {
        package var description: String
    }

    /// The process at the other end is of another user.
    struct Stranger: Error, CustomStringConvertible {
        var uid: uid_t
        var pid: pid_t

        var description: String {
            "the process at the other end (\(self.pid)) runs as uid \(self.uid), not as uid \(geteuid()) or root"
        }
    }

    /// Replaces a socket that a dead process left behind, but not a socket on which a process listens, or any other
    /// file.
    package static func listen(_ path: String, isPacket: Bool = false) throws -> CInt {
        if let attributes = try? FileManager.default.attributesOfItem(atPath: path) {
            guard attributes[.type] as? FileAttributeType == .typeSocket else {
                throw InUse(description: self.noSocketAt(path))
            }
            if try self.answers(path, isPacket: isPacket) { throw InUse(description: self.inUse(path)) }
            guard unlink(path) == 0 || errno == ENOENT else {
                throw InUse(
                    description: "\(path) was left behind by a process that is gone, and cannot be removed: "
                        + String(cString: strerror(errno)) + "; remove it, or choose another path")
            }
        }
        let address = try SocketAddress(unixDomainSocketPath: path)
        let descriptor = try self.make(isPacket: isPacket)
        // The file gets the socket's own mode when it is made (Linux): it is its owner's alone from the first moment,
        // whatever the umask, and nothing is changed by its name, which may be another file's by then.
        guard fchmod(descriptor, 0o600) == 0,
            address.withSockAddr({ pointer, size in Glibc.bind(descriptor, pointer, socklen_t(size)) }) == 0,
            Glibc.listen(descriptor, 64) == 0
        else {
            let failure = IOError(errnoCode: errno, reason: "bind")
            close(descriptor)
            throw failure
        }
        return descriptor
    }

    /// Finds what would keep ``listen(_:isPacket:)`` from making a socket. Makes and removes nothing.
    ///
    /// - Parameter connects: also tries whether a process listens there.
    package static func look(_ path: String, isPacket: Bool = false, connects: Bool) throws {
        _ = try SocketAddress(unixDomainSocketPath: path)
        if let attributes = try? FileManager.default.attributesOfItem(atPath: path) {
            guard attributes[.type] as? FileAttributeType == .typeSocket else {
                throw InUse(description: self.noSocketAt(path))
            }
            if connects, try self.answers(path, isPacket: isPacket) {
                throw InUse(description: self.inUse(path))
            }
        }
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        let folder = slash.map { String(path[...$0]) } ?? "."
        guard access(folder, W_OK | X_OK) == 0 else {
            let code = errno
            let advice =
                code == EACCES
                ? "let uid \(geteuid()), as which this process runs, write in the folder and search it"
                : "make the folder for uid \(geteuid())"
            throw InUse(
                description: "no socket can be made in the folder \(folder): \(String(cString: strerror(code))); "
                    + advice + ", or choose another path")
        }
    }

    private static func noSocketAt(_ path: String) -> String {
        "\(path) exists and is not a socket; remove it, or choose another path"
    }

    private static func inUse(_ path: String) -> String {
        "another process listens on \(path); stop it, or choose another path"
    }

    /// - Parameter isPacket: one that keeps messages apart (SOCK_SEQPACKET).
    private static func make(isPacket: Bool) throws -> CInt {
        let kind = CInt((isPacket ? SOCK_SEQPACKET : SOCK_STREAM).rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_UNIX, kind, 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        return descriptor
    }

    package static func remove(_ path: String) { unlink(path) }

    private static func answers(_ path: String, isPacket: Bool) throws -> Bool {
        guard let descriptor = try self.connect(path, isPacket: isPacket) else { return false }
        close(descriptor)
        return true
    }

    /// Nil when no process listens there.
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
        // A socket that this process may not connect to has a listener all the same.
        guard failure.errnoCode == ECONNREFUSED || failure.errnoCode == ENOENT else { throw failure }
        return nil
    }

    /// Looks at who is at the other end, as the kernel knows it: who called listen(2) for the end that connected, who
    /// called connect(2) for the end that accepted (unix(7), SO_PEERCRED).
    ///
    /// - Throws: ``Stranger`` unless it is this process's user or root, who could as well replace the binary.
    static func checkPeer(of descriptor: CInt) throws {
        // struct ucred: pid_t, uid_t, gid_t.
        var credentials: (pid: pid_t, uid: uid_t, gid: gid_t) = (0, .max, .max)
        var size = socklen_t(MemoryLayout.size(ofValue: credentials))
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 else {
            throw IOError(errnoCode: errno, reason: "getsockopt SO_PEERCRED")
        }
        guard credentials.uid == geteuid() || credentials.uid == 0 else {
            throw Stranger(uid: credentials.uid, pid: credentials.pid)
        }
    }
}

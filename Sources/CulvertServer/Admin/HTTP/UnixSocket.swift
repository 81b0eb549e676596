import Glibc
import NIOCore

/// A listening socket in the file system, for its owner alone.
enum UnixSocket {
    struct InUse: Error, CustomStringConvertible {
        var description: String
    }

    /// Takes the place of a socket that a process left behind when it died; not of one that is listened to, nor of
    /// anything that is no socket.
    static func bind<Bound>(_ path: String, _ body: () async throws -> Bound) async throws -> Bound {
        var status = stat()
        if lstat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFSOCK else {
                throw InUse(description: "\(path) is there, and no socket")
            }
            if try self.answers(path) { throw InUse(description: "another process listens on \(path)") }
            unlink(path)
        }
        // Connecting takes permission to write. Nobody connects between bind and chmod but who may do both: the umask
        // of servers leaves others no write permission.
        let bound = try await body()
        chmod(path, 0o600)
        return bound
    }

    static func remove(_ path: String) { unlink(path) }

    private static func answers(_ path: String) throws -> Bool {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        defer { close(descriptor) }
        let address = try SocketAddress(unixDomainSocketPath: path)
        return address.withSockAddr { pointer, size in connect(descriptor, pointer, socklen_t(size)) == 0 }
    }
}

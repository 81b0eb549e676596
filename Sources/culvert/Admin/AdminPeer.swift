import CulvertEdge
import Foundation
import Glibc
import NIOCore

/// Decides by its user whether the process at the other end of a connection may read the admin token. ``AdminClient``
/// makes it for a request, and `HTTPClient` calls ``look`` with the connection before the request is sent on it.
struct AdminPeer: Sendable {
    private let url: String
    private let users: Set<uid_t>
    /// The advice at the end of a refusal.
    private let advice: String

    /// - Parameter token: the token that the request shows.
    init(url: String, token: CommandToken) {
        self.url = url
        var users: Set<uid_t> = [0, geteuid()]
        if let owner = token.owner { users.insert(owner) }
        self.users = users
        // The token of a file always has an owner.
        self.advice =
            token.owner == nil
            ? "stop it, run this command as that user, or name with --token-file a file of that user that holds the "
                + "same token as CULVERT_ADMIN_TOKEN"
            : "stop it, or run this command as that user"
    }

    /// Fails for a process of another user with ``CommandFailure``, and over https for a server whose certificate is
    /// for another name.
    var look: (@Sendable (any Channel) -> EventLoopFuture<Void>)? {
        if self.url.hasPrefix("https://") {
            guard let name = PeerName(URLComponents(string: self.url)?.host ?? "") else { return nil }
            return { channel in name.check(channel) }
        }
        if self.url.hasPrefix("unix:") { return { channel in self.lookAtUnixSocket(channel) } }
        return { channel in channel.eventLoop.makeCompletedFuture(withResultOf: { try self.lookAtTCP(channel) }) }
    }

    /// `struct ucred`.
    private struct Credentials: Sendable {
        var pid: Int32
        var uid: UInt32
        var gid: UInt32
    }

    /// The kernel knows the user that called listen(2) (unix(7), SO_PEERCRED).
    private func lookAtUnixSocket(_ channel: any Channel) -> EventLoopFuture<Void> {
        let unknown = CommandFailure(
            description: "\(self.url): the user of the process that listens there is unknown, and that process would "
                + "read the admin token")
        guard let provider = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeFailedFuture(unknown)
        }
        let credentials: EventLoopFuture<Credentials> = provider.unsafeGetSocketOption(
            level: NIOBSDSocket.OptionLevel(rawValue: SOL_SOCKET), name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
        return credentials
            .flatMapErrorThrowing { _ in throw unknown }
            .flatMapThrowing { try self.check($0.uid) }
    }

    /// A process on another machine, or in another network namespace, is in no table, and passes.
    private func lookAtTCP(_ channel: any Channel) throws {
        guard let here = channel.localAddress.flatMap(TCPEndpoint.init(_:)),
            let there = channel.remoteAddress.flatMap(TCPEndpoint.init(_:))
        else { throw CommandFailure(description: "\(self.url) cannot be reached: the connection is closed") }
        guard there.isLoopback || there.words == here.words else { return }
        for uid in TCPTable.users(at: there, connectedFrom: here).sorted() { try self.check(uid) }
    }

    private func check(_ uid: uid_t) throws {
        guard !self.users.contains(uid) else { return }
        throw CommandFailure(
            description: "\(self.url): the process that listens there belongs to another user (uid \(uid)), who would "
                + "read the admin token; \(self.advice)")
    }
}

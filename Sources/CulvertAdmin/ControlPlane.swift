package import CulvertConfig
package import CulvertCore
package import CulvertEdge
import CulvertSystem
package import CulvertTokens
package import Logging
package import NIOPosix

/// What operators act on: the tokens' desk and the listener in front of it.
package struct ControlPlane: Sendable {
    private let server: AdminServer
    private let store: TokenStore
    private let desk: TokenDesk
    private let housekeeping: Task<Void, Never>

    /// What there is before there is an admin API.
    package struct Parts: Sendable {
        package var edge: EdgeServer
        package var store: TokenStore
        /// Minted tokens and those of the file, as the loops have them.
        package var entries: [TokenEntry]
        package var configured: ConfiguredTokens
        package var authority: JWTAuthority?
        package var reloader: Reloader?
        /// Of JWTs, as the loops have them.
        package var revocations: [JWTRevocation]

        package init(
            edge: EdgeServer, store: TokenStore, entries: [TokenEntry], configured: ConfiguredTokens,
            authority: JWTAuthority?, reloader: Reloader?, revocations: [JWTRevocation]
        ) {
            self.revocations = revocations
            self.edge = edge
            self.store = store
            self.entries = entries
            self.configured = configured
            self.authority = authority
            self.reloader = reloader
        }
    }

    /// - Parameters:
    ///   - stop: has the server stopped as the plan says; false when it stops already.
    package static func start(
        _ parts: Parts, door: AdminDoor, group: MultiThreadedEventLoopGroup, logger: Logger,
        stop: @escaping @Sendable (DrainPlan) -> Bool
    ) async throws -> ControlPlane {
        let admin = door.config
        let edge = parts.edge
        let desk = TokenDesk(
            store: parts.store, authority: parts.authority, configured: parts.configured, entries: parts.entries,
            publish: { edge.apply($0) }, notices: edge.notices, now: Clock.unixSeconds)
        let api = AdminAPI(
            gate: AdminGate(admin, token: door.token), desk: desk, edge: edge, reloader: parts.reloader, stop: stop)
        let server = try await AdminServer.start(door, group: group, edge: edge, api: api)
        await edge.certificates.setAdmin(server.watched(admin))
        await parts.reloader?.attach(desk: desk) { config in
            if let admin = config.admin { await edge.certificates.setAdmin(server.watched(admin)) }
        }
        logger.info("admin listening", metadata: ["address": "\(admin.address)"])
        let housekeeping = Task {
            while (try? await Task.sleep(for: .seconds(60))) != nil {
                // A failure is in the log, from the desk.
                try? await desk.forgetExpired()
            }
        }
        return ControlPlane(
            server: server, store: parts.store, desk: desk, housekeeping: housekeeping,
            socket: InheritedSockets.Socket(name: admin.address, descriptor: server.descriptor))
    }

    /// The listening socket, for another process.
    package let socket: InheritedSockets.Socket

    /// Makes hold what another process has written to the database since it was read.
    ///
    /// - Parameter revocations: of JWTs, that hold until now.
    package func catchUp(revocations: [JWTRevocation]) async throws {
        _ = try await self.desk.readAgain(revocations: revocations)
    }

    /// Operators have another process to turn to; what they do there holds here too, for the sessions that are left.
    package func retire() async -> RetiredControlPlane {
        self.housekeeping.cancel()
        await self.server.shutdown(isHandedOver: true)
        // Before the other process may write.
        let revocations = (try? await self.desk.jwtRevocations()) ?? []
        return RetiredControlPlane(desk: self.desk, store: self.store, revocations: revocations)
    }

    package func shutdown() async {
        self.housekeeping.cancel()
        await self.server.shutdown(isHandedOver: false)
        self.store.close()
    }
}

/// Follows what another process does to tokens.
package struct RetiredControlPlane: Sendable {
    private let store: TokenStore
    private let task: Task<Void, Never>

    fileprivate init(desk: TokenDesk, store: TokenStore, revocations: [JWTRevocation]) {
        self.store = store
        self.task = Task {
            var version: Int?
            var revocations = revocations
            repeat {
                do {
                    let now = try await desk.dataVersion()
                    if now == version { continue }
                    revocations = try await desk.readAgain(revocations: revocations)
                    version = now
                } catch {
                    // The failure is in the log, from the desk.
                }
            } while (try? await Task.sleep(for: .milliseconds(250))) != nil
        }
    }

    package func shutdown() {
        self.task.cancel()
        self.store.close()
    }
}

package import CulvertCore
package import Logging
package import NIOPosix

/// What operators act on: the tokens' desk and the listener in front of it.
package struct ControlPlane: Sendable {
    private let server: AdminServer
    private let store: TokenStore
    private let housekeeping: Task<Void, Never>

    package static func start(
        config: ProxyConfig, admin: AdminConfig, edge: EdgeServer, store: TokenStore, entries: [TokenEntry],
        authority: JWTAuthority?, adminToken: String?, group: MultiThreadedEventLoopGroup, logger: Logger
    ) async throws -> ControlPlane {
        let token = try AdminToken.load(file: admin.tokenFile, environment: adminToken)
        let desk = TokenDesk(
            store: store, authority: authority, configured: config.authentication.tokens.map(\.entry), entries: entries,
            publish: { edge.apply($0) }, now: Clock.unixSeconds)
        let api = AdminAPI(
            config: config, admin: admin, desk: desk, sessions: edge.sessions, upstreams: edge.upstreams,
            token: token, memory: { edge.memory },
            health: { AdminAPI.Health(sessions: edge.openSessions, isDraining: edge.isDraining) })
        let server = try await AdminServer.start(admin, group: group, api: api)
        logger.info("admin listening", metadata: ["address": "\(admin.address)"])
        let housekeeping = Task {
            while (try? await Task.sleep(for: .seconds(60))) != nil {
                do throws(DeskError) {
                    try await desk.forgetExpired()
                } catch {
                    logger.warning("the database failed", metadata: ["error": "\(error)"])
                }
            }
        }
        return ControlPlane(server: server, store: store, housekeeping: housekeeping)
    }

    package func shutdown() async {
        self.housekeeping.cancel()
        await self.server.shutdown()
        self.store.close()
    }
}

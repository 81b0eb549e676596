import CulvertCore
import CulvertServer
import Foundation
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import UnixSignals

/// Why the proxy did not start; for the operator's eyes.
struct StartFailure: Error, CustomStringConvertible {
    var description: String
}

enum Environment {
    static var all: [String: String] { ProcessInfo.processInfo.environment }
}

enum Logging {
    static func make(_ config: LogConfig) -> Logger {
        var logger = Logger(label: "culvert") { label in
            switch config.format {
            case .json: JSONLogHandler(label: label, level: config.level, sink: .standardError)
            case .text: TextLogHandler(label: label, level: config.level, sink: .standardError)
            }
        }
        logger.logLevel = config.level
        return logger
    }
}

/// Starts the edge and its admin listener, and stops them when told to.
struct Runner {
    let config: ProxyConfig
    let logger: Logger
    var pages: StaticPages?
    /// Called when connections are accepted.
    var whenReady: (@Sendable (EdgeServer) -> Void)?
    /// Called when the edge has stopped.
    var afterwards: (@Sendable () async -> Void)?

    func run() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        // Before anybody can see that we run: who then signals must find us listening.
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        let edge: EdgeServer
        let control: ControlPlane?
        let authority: JWTAuthority?
        do {
            let store = try self.config.state.map { path throws(StoreError) in try TokenStore(path: path) }
            let entries = try store?.entries() ?? []
            authority = try await self.startAuthority(store)
            let revocations = try store?.jwtRevocations().map(TokenChange.revokeJWT) ?? []
            edge = try await EdgeServer.start(
                config: self.config, tokens: self.config.authentication.tokens.map(\.entry) + entries,
                changes: revocations + (await authority?.changes ?? []), verifyJWT: authority?.verify, group: group,
                pages: self.pages, logger: self.logger)
            await authority?.start { edge.apply($0) }
            control = try await self.startControl(
                edge, store: store, entries: entries, authority: authority, group: group)
        } catch {
            throw StartFailure(description: "culvert cannot start: \(error)")
        }
        let service = EdgeService(edge: edge, control: control, authority: authority, afterwards: self.afterwards)
        let services = ServiceGroup(
            configuration: .init(
                services: [.init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)],
                logger: self.logger))
        self.whenReady?(edge)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await services.run() }
            tasks.addTask { await Self.obey(signals, services) }
            _ = try await tasks.next()
            tasks.cancelAll()
        }
        self.logger.info("stopped")
    }

    private func startAuthority(_ store: TokenStore?) async throws -> JWTAuthority? {
        guard let config = self.config.authentication.jwt else { return nil }
        return try await JWTAuthority(config: config, stored: try store?.jwtKeys() ?? [], logger: self.logger)
    }

    private func startControl(
        _ edge: EdgeServer, store: TokenStore?, entries: [TokenEntry], authority: JWTAuthority?,
        group: MultiThreadedEventLoopGroup
    ) async throws -> ControlPlane? {
        guard let config = self.config.admin, let store else { return nil }
        do {
            return try await ControlPlane.start(
                config: self.config, admin: config, edge: edge, store: store, entries: entries,
                authority: authority, adminToken: Environment.all["CULVERT_ADMIN_TOKEN"], group: group,
                logger: self.logger)
        } catch {
            throw StartFailure(description: "admin listener \(config.address): \(error)")
        }
    }

    /// The first signal asks for a graceful stop. Whoever signals twice does not want to wait.
    private static func obey(_ signals: UnixSignalsSequence, _ services: ServiceGroup) async {
        var isStopping = false
        for await _ in signals {
            if isStopping { exit(1) }
            isStopping = true
            await services.triggerGracefulShutdown()
        }
    }
}

private struct EdgeService: Service {
    let edge: EdgeServer
    let control: ControlPlane?
    let authority: JWTAuthority?
    let afterwards: (@Sendable () async -> Void)?

    func run() async throws {
        try? await gracefulShutdown()
        await self.authority?.stop()
        await self.edge.shutdown()
        await self.control?.shutdown()
        await self.afterwards?()
    }
}

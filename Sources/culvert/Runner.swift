import CulvertAdmin
import CulvertConfig
import CulvertCore
import CulvertEdge
import CulvertSystem
import CulvertTokens
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

enum Logging {
    /// - Returns: the logger, and what it writes to, for text that is to stand behind the log's lines.
    static func start(_ config: LogConfig) -> (logger: Logger, sink: LogSink) {
        let sink = LogSink.standardError(config.format)
        var logger = Logger(label: "culvert") { LineLogHandler(label: $0, level: config.level, sink: sink) }
        logger.logLevel = config.level
        return (logger, sink)
    }
}

/// Starts the edge and its admin listener, and stops them when told to.
struct Runner {
    let config: ProxyConfig
    let logger: Logger
    /// Of the configuration, to be read again; nil when there is no file.
    var path: String?
    /// SIGHUP reloads, or is logged and ignored without a file. Otherwise it ends the process.
    var takesHangups = false
    /// Take the listeners of the process that runs.
    var takesOver = false
    /// Served beside the configuration, by path.
    var pages: [String: StaticFile] = [:]
    /// Called when connections are accepted.
    var whenReady: (@Sendable (EdgeServer) -> Void)?
    /// Called when the edge has stopped.
    var afterwards: (@Sendable () async -> Void)?

    func run() async throws {
        // Before anybody can see that we run: who then signals must find us listening.
        let trapped: [UnixSignal] = [.sigterm, .sigint] + (self.takesHangups ? [.sighup] : [])
        let signals = await UnixSignalsSequence(trapping: trapped)
        let manager = ServiceManager(environment: Environment.all, isSuccessor: self.takesOver)
        if !manager.others.isEmpty {
            self.logger.warning(
                "LISTEN_FDS names descriptors that are no sockets",
                metadata: ["descriptors": "\(manager.others.map(String.init).joined(separator: " "))"])
        }
        let service = try await self.start(manager)
        // The library tells of its own steps at every level. What goes wrong is thrown.
        var quiet = self.logger
        quiet.logLevel = max(self.logger.logLevel, .warning)
        let services = ServiceGroup(
            configuration: .init(
                services: [.init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)],
                logger: quiet))
        self.whenReady?(service.edge)
        let logger = self.logger
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await services.run() }
            tasks.addTask { await Self.obey(signals, services, service.reloader, manager, logger) }
            _ = try await tasks.next()
            tasks.cancelAll()
        }
        self.logger.info("stopped")
    }

    private func start(_ manager: ServiceManager) async throws -> EdgeService {
        do {
            let other = try self.otherProcess()
            let door = try self.openDoor(other?.admin)
            let store = try self.openStore()
            let conflicts = try store?.conflicts(with: self.config.authentication.tokens) ?? []
            guard conflicts.isEmpty else {
                throw StartFailure(description: conflicts.map(\.description).joined(separator: "; "))
            }
            let minted = try store?.entries() ?? []
            let configured = ConfiguredTokens(self.config.authentication.tokens.map(\.entry))
            let authority = try await self.startAuthority(store)
            let revocations = try store?.jwtRevocations() ?? []
            let edge = try await EdgeServer.start(
                config: self.config, tokens: configured.entries.values + minted,
                changes: revocations.map { .revokeJWT($0) } + (await authority?.changes ?? []),
                verifyJWT: authority?.verify,
                group: MultiThreadedEventLoopGroup.singleton, pages: self.pages,
                inherited: other?.listeners ?? manager.sockets,
                beforeAccepting: { try await self.finish(other) }, logger: self.logger)
            await authority?.start { edge.apply($0) }
            let reloader = self.path.map { path in
                Reloader(
                    path: path, environment: Environment.all, edge: edge, store: store, authority: authority,
                    tokens: configured, logger: self.logger)
            }
            let stop = StopRequest()
            let parts = store.map { store in
                ControlPlane.Parts(
                    edge: edge, store: store, entries: minted, configured: configured, authority: authority,
                    reloader: reloader, revocations: revocations)
            }
            let control = try await self.startControl(parts, door, stop: stop)
            if other != nil { await self.catchUp(control, revocations) }
            let takeover = try self.awaitTakeover(edge, control, stop, isNeeded: other == nil)
            manager.ready(isMain: other != nil)
            return EdgeService(
                edge: edge, control: control, reloader: reloader, stop: stop, takeover: takeover, manager: manager,
                logger: self.logger, afterwards: self.afterwards)
        } catch let failure as StartFailure {
            // As `culvert check` says it.
            throw failure
        } catch let fault as ListenerFault {
            throw StartFailure(description: fault.description)
        } catch {
            throw StartFailure(description: "culvert cannot start: \(ConnectionFault.words(error))")
        }
    }

    private func openStore() throws -> TokenStore? {
        guard let path = self.config.state else { return nil }
        do throws(StoreError) {
            return try TokenStore(path: path, logger: self.logger)
        } catch {
            throw StartFailure(description: self.config.places.text("state", error.description))
        }
    }

    /// The process whose listeners are to be taken; nil when there is none, and this one starts as any other.
    private func otherProcess() throws -> TakeoverClient? {
        guard self.takesOver else { return nil }
        guard let path = self.config.takeover else {
            throw StartFailure(
                description: self.config.places.text(
                    "takeover",
                    "--takeover needs this key; write the path of a socket, such as takeover: culvert.takeover"))
        }
        let other: TakeoverClient?
        do {
            other = try TakeoverClient.begin(path: path)
        } catch {
            throw StartFailure(description: self.config.places.text("takeover", ConnectionFault.words(error)))
        }
        if other == nil { self.logger.notice("no process to take over from", metadata: ["socket": "\(path)"]) }
        return other
    }

    /// From here on there is no way back for either process: what may fail has been done, and what fails is told.
    private func finish(_ other: TakeoverClient?) async throws {
        guard let other, try await !other.finish() else { return }
        self.logger.warning("the other process did not confirm that it has stopped accepting")
    }

    /// What operators did at the other process while this one started.
    private func catchUp(_ control: ControlPlane?, _ revocations: [JWTRevocation]) async {
        do {
            try await control?.catchUp(revocations: revocations)
        } catch {
            self.logger.error("the database failed", metadata: ["error": "\(error)"])
        }
    }

    /// - Parameter isNeeded: rather not start than start without it.
    private func awaitTakeover(
        _ edge: EdgeServer, _ control: ControlPlane?, _ stop: StopRequest, isNeeded: Bool
    ) throws -> TakeoverServer? {
        guard let path = self.config.takeover else { return nil }
        let handlers = TakeoverServer.Handlers(listeners: { try edge.copySockets() }, admin: control?.socket) { done in
            // One that stops already has nothing to hand over, and will be gone soon.
            stop.make(.handedOver(done: done))
        }
        do {
            return try TakeoverServer(path: path, handlers: handlers, logger: self.logger)
        } catch {
            let reason = BindFault.words(error, socket: path)
            guard !isNeeded else {
                throw StartFailure(description: self.config.places.text("takeover", reason))
            }
            self.logger.error(
                "the takeover socket cannot be opened", metadata: ["socket": "\(path)", "reason": "\(reason)"])
            return nil
        }
    }

    private func startAuthority(_ store: TokenStore?) async throws -> JWTAuthority? {
        guard let config = self.config.authentication.jwt else { return nil }
        return try await JWTAuthority(
            config: config, stored: try store?.jwtKeys() ?? [], ended: try store?.endedJWTKeys() ?? [:],
            network: .ofEdge, logger: self.logger)
    }

    private func openDoor(_ inherited: InheritedSockets.Socket?) throws -> AdminDoor? {
        guard let config = self.config.admin, self.config.state != nil else {
            inherited?.close()
            return nil
        }
        if let inherited, inherited.name != config.address { inherited.close() }
        do {
            return try AdminDoor.open(
                config, adminToken: Environment.all["CULVERT_ADMIN_TOKEN"], inherited: inherited, logger: self.logger)
        } catch let error as AdminToken.Unusable {
            // A token of the environment has no place in the file.
            let keyPath = Environment.all["CULVERT_ADMIN_TOKEN"] == nil ? "admin.token_file" : "admin"
            throw StartFailure(description: self.config.places.text(keyPath, error.description))
        } catch {
            throw self.adminFailure(config, error)
        }
    }

    private func startControl(
        _ parts: ControlPlane.Parts?, _ door: AdminDoor?, stop: StopRequest
    ) async throws -> ControlPlane? {
        guard let door, let parts else { return nil }
        do {
            return try await ControlPlane.start(
                parts, door: door, group: MultiThreadedEventLoopGroup.singleton, logger: self.logger
            ) { plan in stop.make(.drain(plan)) }
        } catch {
            throw self.adminFailure(door.config, error)
        }
    }

    private func adminFailure(_ config: AdminConfig, _ error: any Error) -> StartFailure {
        let reason = BindFault.words(error, socket: config.socket)
        let message = config.socket == nil ? "\(config.address): \(reason)" : reason
        return StartFailure(description: self.config.places.text("admin.address", message))
    }

    /// The first signal asks for a graceful stop. Whoever signals twice does not want to wait. SIGHUP reloads.
    private static func obey(
        _ signals: UnixSignalsSequence, _ services: ServiceGroup, _ reloader: Reloader?, _ manager: ServiceManager,
        _ logger: Logger
    ) async {
        var isStopping = false
        for await signal in signals {
            if signal == .sighup {
                guard !isStopping else { continue }
                guard reloader != nil else {
                    logger.warning(
                        "SIGHUP ignored",
                        metadata: ["reason": "the configuration came from standard input, which cannot be read again"])
                    continue
                }
                // Not in this task, which has to see the next signal.
                Task {
                    manager.reloading()
                    // What went wrong is in the log, and nothing has changed.
                    _ = try? await reloader?.reload(isDryRun: false)
                    manager.ready()
                }
                continue
            }
            if isStopping { exit(1) }
            isStopping = true
            await services.triggerGracefulShutdown()
        }
    }
}

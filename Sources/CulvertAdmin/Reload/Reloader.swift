package import CulvertConfig
import CulvertCore
package import CulvertEdge
import CulvertSystem
package import CulvertTokens
package import Logging
import NIOCore

/// What a reload did, or would do.
package struct ReloadReport: Sendable, Equatable {
    package var isDryRun: Bool
    /// Sections of the configuration that differ from those in effect.
    package var changed: [String]
    /// Those of them that stay as they are until the process starts again.
    package var needsRestart: [String]
    package var outcome: ReloadOutcome
}

/// Why a reload changed nothing.
package enum ReloadFailure: Error, Sendable, CustomStringConvertible {
    /// The file, or one that it names, is wrong.
    case invalid([ConfigError])
    /// It cannot be put into effect: an address that is in use, a token that is there already.
    case unusable(String)

    package var description: String {
        switch self {
        case .invalid(let errors): errors.map(\.description).joined(separator: "; ")
        case .unusable(let why): why
        }
    }
}

/// Reads the configuration and all that it names anew, and puts it into effect, for everybody or for nobody.
///
/// Files are read, names looked up and sockets opened on a thread that may wait, while the actor stays free to answer. A
/// reload whose files do not answer in time is refused, and holds up no later one.
package actor Reloader {
    /// Runs the actor, which reads from the database.
    nonisolated private let queue = BlockingQueue("reload")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { self.queue.asUnownedSerialExecutor() }

    private let path: String
    private let environment: [String: String]
    private let edge: EdgeServer
    private let store: TokenStore?
    private let logger: Logger
    private let files = FileWork("reload.files")
    private var desk: TokenDesk?
    private var authority: JWTAuthority?
    private var tokens: ConfiguredTokens
    private var running: Task<Void, Never>?
    private var installAdmin: (@Sendable (ProxyConfig) async -> Void)?

    /// - Parameters:
    ///   - path: of the configuration.
    ///   - tokens: those of the file, as the loops have them.
    package init(
        path: String, environment: [String: String], edge: EdgeServer, store: TokenStore?, authority: JWTAuthority?,
        tokens: ConfiguredTokens, logger: Logger
    ) {
        self.path = path
        self.environment = environment
        self.edge = edge
        self.store = store
        self.authority = authority
        self.tokens = tokens
        self.logger = logger
    }

    /// - Parameter installAdmin: gives the admin listener its certificates.
    func attach(desk: TokenDesk, installAdmin: @escaping @Sendable (ProxyConfig) async -> Void) {
        self.desk = desk
        self.installAdmin = installAdmin
    }

    package func stop() async {
        await self.authority?.stop()
    }

    /// One after the other.
    package func reload(isDryRun: Bool) async throws(ReloadFailure) -> ReloadReport {
        let previous = self.running
        let task = Task { () -> Result<ReloadReport, ReloadFailure> in
            await previous?.value
            return await self.perform(isDryRun: isDryRun)
        }
        self.running = Task { _ = await task.value }
        let result = await task.value
        switch result {
        case .success(let report):
            if !isDryRun {
                let (config, logger) = (self.edge.config, self.logger)
                try? await self.files.run { config.logWarnings(to: logger) }
                self.log(report)
            }
            return report
        case .failure(let failure):
            if !isDryRun {
                self.logger.error("reload refused; nothing has changed", metadata: ["reason": "\(failure)"])
            }
            throw failure
        }
    }

    private func perform(isDryRun: Bool) async -> Result<ReloadReport, ReloadFailure> {
        do throws(ReloadFailure) {
            guard self.edge.isReady else { throw .unusable("the process is stopping") }
            let old = self.edge.config
            var config = try await self.read()
            let changed = config.sections(differingFrom: old)
            let needsRestart = config.keepFixed(from: old)
            try self.checkSecrets(config)
            let authority = try await self.prepareAuthority(config)
            let prepared: EdgeServer.Prepared
            do {
                prepared = try await self.prepare(config, verifyJWT: authority.verify)
            } catch {
                throw .unusable(ConnectionFault.words(error))
            }
            let next = self.tokens.next(config.authentication.tokens.map(\.entry))
            let changes = next.changes + authority.changes
            var report = ReloadReport(
                isDryRun: isDryRun, changed: changed, needsRestart: needsRestart, outcome: ReloadOutcome())
            do throws(MintedID) {
                if isDryRun {
                    try await self.desk?.check(next.tokens)
                } else {
                    try await self.desk?.reconfigure(next.tokens, authority: authority.next)
                }
            } catch {
                self.edge.abandon(prepared)
                throw .unusable(config.description(of: error))
            }
            if isDryRun {
                report.outcome = await self.edge.forecast(prepared, changes: changes)
                self.edge.abandon(prepared)
                return .success(report)
            }
            guard self.edge.isReady else {
                self.edge.abandon(prepared)
                throw .unusable("the process is stopping")
            }
            self.tokens = next.tokens
            if let prepared = authority.prepared { await authority.next?.adoptRules(prepared) }
            report.outcome = await self.edge.commit(prepared, changes: changes)
            await self.commit(authority)
            await self.watchCertificates(config)
            return .success(report)
        } catch {
            return .failure(error)
        }
    }

    private func checkSecrets(_ config: ProxyConfig) throws(ReloadFailure) {
        let conflicts: [ConfigError]
        do throws(StoreError) {
            conflicts = try self.store?.conflicts(with: config.authentication.tokens) ?? []
        } catch {
            throw .unusable(error.description)
        }
        guard conflicts.isEmpty else {
            throw .unusable(conflicts.map(\.description).joined(separator: "; "))
        }
    }

    private func prepare(
        _ config: ProxyConfig, verifyJWT: JWTVerification?
    ) async throws -> EdgeServer.Prepared {
        let edge = self.edge
        return try await self.files.run(late: { edge.abandon($0) }) {
            // An error that would keep the files from being swapped in later is reported now.
            if let admin = config.admin, let tls = admin.tls {
                _ = try TLSContexts.make(tls, clientCA: admin.clientCA)
            }
            return try edge.prepare(config, verifyJWT: verifyJWT)
        }
    }

    private func read() async throws(ReloadFailure) -> ProxyConfig {
        let (path, environment) = (self.path, self.environment)
        do {
            return try await self.files.run {
                // A start reads a pipe to its end. The writer of the pipe may never write to it again.
                if let fault = FileFault.irregular(path) {
                    let message = "cannot be read again: \(fault)"
                    throw ConfigErrors(
                        errors: [ConfigError(file: path, line: 1, column: 1, keyPath: "", message: message)])
                }
                let config = try ConfigLoader.load(path: path, keys: .ofTokens, environment: environment)
                let problems = config.checkFiles() + config.checkAddresses()
                guard problems.isEmpty else { throw ConfigErrors(errors: problems) }
                return config
            }
        } catch let errors as ConfigErrors {
            throw .invalid(errors.errors)
        } catch {
            throw .unusable(ConnectionFault.words(error))
        }
    }

    /// The watch may be held up by a file that the configuration before has named. It goes on behind that by itself.
    private func watchCertificates(_ config: ProxyConfig) async {
        let (edge, installAdmin) = (self.edge, self.installAdmin)
        let isWatching = await self.files.wait {
            await edge.watchCertificates()
            await installAdmin?(config)
        }
        guard !isWatching else { return }
        self.logger.warning("certificates are watched later: a file system that has one does not answer")
    }

    // MARK: - JSON Web Tokens

    private struct NextAuthority {
        var next: JWTAuthority?
        var prepared: JWTAuthority.Prepared?
        var changes: [TokenChange] = []

        var verify: JWTVerification? {
            guard let next = self.next else { return nil }
            return next.verify
        }
    }

    private func prepareAuthority(_ config: ProxyConfig) async throws(ReloadFailure) -> NextAuthority {
        guard let jwt = config.authentication.jwt else {
            // No key counts, and whoever lives by one goes.
            return NextAuthority(changes: self.authority == nil ? [] : [.jwtKeys([:])])
        }
        do {
            if let authority = self.authority {
                let prepared = try await authority.prepare(jwt)
                return NextAuthority(next: authority, prepared: prepared, changes: [prepared.change])
            }
            let stored = try self.store?.jwtKeys() ?? []
            let authority = try await JWTAuthority(
                config: jwt, stored: stored, ended: try self.store?.endedJWTKeys() ?? [:],
                network: .ofEdge, logger: self.logger)
            return NextAuthority(next: authority, changes: await authority.changes)
        } catch {
            throw .unusable(ConnectionFault.words(error))
        }
    }

    private func commit(_ authority: NextAuthority) async {
        let old = self.authority
        self.authority = authority.next
        if let next = authority.next {
            if let prepared = authority.prepared { await next.commit(prepared) }
            let edge = self.edge
            if old == nil { await next.start { edge.apply($0) } }
        } else {
            await old?.stop()
        }
    }

    private func log(_ report: ReloadReport) {
        self.logger.info(
            "configuration reloaded",
            metadata: [
                "changed": "\(report.changed.joined(separator: " "))",
                "sessions_kept": .stringConvertible(report.outcome.kept),
                "sessions_closed": .stringConvertible(report.outcome.closed),
            ])
        if !report.needsRestart.isEmpty {
            self.logger.warning(
                "these stay as they are until a restart",
                metadata: ["sections": "\(report.needsRestart.joined(separator: " "))"])
        }
    }
}

extension ProxyConfig {
    /// The message for a token of the file whose id a minted token has.
    func description(of conflict: MintedID) -> String {
        let place = self.authentication.tokens.first { $0.token.id == conflict.id }?.idPlace
        return place?.error(conflict.description).description ?? "authentication.tokens: \(conflict)"
    }

    /// By the names that the file has for them.
    func sections(differingFrom old: ProxyConfig) -> [String] {
        func differ<Value: Equatable>(_ name: String, _ path: KeyPath<ProxyConfig, Value>) -> String? {
            self[keyPath: path] == old[keyPath: path] ? nil : name
        }
        return [
            differ("listen", \.listen), differ("routes", \.routes), differ("authentication", \.authentication),
            differ("upstreams", \.upstreams), differ("session", \.session), differ("limits", \.limits),
            differ("admin", \.admin), differ("state", \.state), differ("trusted_proxies", \.trustedProxies),
            differ("reload", \.reload), differ("drain", \.drain), differ("takeover", \.takeover),
            differ("client", \.client),
            differ("log", \.log),
        ].compactMap(\.self)
    }

    /// Puts back what a running process cannot change.
    ///
    /// - Returns: the sections that this is about.
    mutating func keepFixed(from old: ProxyConfig) -> [String] {
        var wanted = self.admin
        // Certificates can be swapped; whether there are any cannot.
        wanted?.tls = old.admin?.tls
        var fixed: [String] = []
        if wanted != old.admin || (self.admin?.tls == nil) != (old.admin?.tls == nil) {
            fixed.append("admin")
            self.admin = old.admin
        }
        if self.state != old.state { fixed.append("state") }
        if self.takeover != old.takeover { fixed.append("takeover") }
        if self.log != old.log { fixed.append("log") }
        self.state = old.state
        self.takeover = old.takeover
        self.log = old.log
        return fixed
    }
}

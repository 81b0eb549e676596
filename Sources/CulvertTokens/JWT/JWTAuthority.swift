package import CulvertCore
import CulvertSystem
package import Logging
import NIOCore
import Synchronization

/// Knows the keys that JSON Web Tokens are verified with, wherever they stand, and verifies.
package actor JWTAuthority {
    /// Hands changes to every event loop; what it returns waits until they hold.
    package typealias Publish = @Sendable ([TokenChange]) -> @Sendable () async -> Void

    /// Most keys that a token is tried with. Each costs the verification of a signature, and the edge takes tokens
    /// from any client; a set of keys has up to 100 of an algorithm.
    static let triedKeys = 4

    nonisolated private let network: KeySetNetwork
    nonisolated private let logger: Logger
    nonisolated private let notices: Notices
    nonisolated private let queue = VerificationQueue()
    /// The keys and rules in force.
    nonisolated private let table: Mutex<Table>
    private var configured: [JWTKey] = []
    private var stored: [JWTKey]
    /// Ends of keys that were deleted, by their thumbprints.
    private var ended: [String: Int64]
    private var storedVersion = 0
    private var updating: Task<Void, Never>?
    private var publish: Publish?
    private var schedule: Task<Void, Never>?

    fileprivate struct Table {
        var keys: [JWTKey] = []
        /// Unix seconds, by the identity of the key; the greatest number for never.
        var ends: [String: Int64] = [:]
        /// Every set has been read once.
        var isComplete = true
        var rules: JWTClaimRules
        var sources: [KeySetSource] = []
    }

    /// Reads the files and the sets of keys.
    ///
    /// - Parameters:
    ///   - stored: keys that were added while the proxy ran.
    ///   - ended: of keys that were deleted, their ends by thumbprint.
    ///   - network: for sets of keys that servers have.
    /// - Throws: ``ConfiguredJWTKey/Unusable``.
    package init(
        config: JWTConfig, stored: [StoredJWTKey], ended: [String: Int64], network: KeySetNetwork, logger: Logger
    ) async throws {
        self.ended = ended
        self.network = network
        self.table = Mutex(Table(rules: config.rules))
        self.logger = logger
        self.notices = Notices(logger: logger)
        self.stored = try await Self.keys(stored)
        let prepared = try await self.prepare(config)
        self.configured = prepared.configured
        self.table.withLock { $0.sources = prepared.sources }
        await self.update()
        self.warnOfEnded()
    }

    // MARK: - another configuration

    /// Read and loaded, but not in force.
    package struct Prepared: Sendable {
        fileprivate var rules: JWTClaimRules
        fileprivate var configured: [JWTKey]
        fileprivate var sources: [KeySetSource]
        /// Which keys will count, for the event loops.
        package fileprivate(set) var change: TokenChange
    }

    /// Reads files and sets. A set that is configured as before keeps its last good keys if it cannot be read now.
    ///
    /// - Throws: ``ConfiguredJWTKey/Unusable``, ``FileWork/Fault``.
    package func prepare(_ config: JWTConfig) async throws -> Prepared {
        var configured: [JWTKey] = []
        for key in config.keys {
            let description = try await KeySet.files.run { try key.load() }
            configured.append(try await JWTKey(description, source: .config, until: key.until))
        }
        let present = self.table.withLock(\.sources)
        let sources = config.sets.map { set in
            present.first { $0.config == set } ?? KeySetSource(set, network: self.network, logger: self.logger)
        }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for source in sources { tasks.addTask { try await source.load() } }
            try await tasks.waitForAll()
        }
        // Sets that are in use have been read like any other time.
        await self.update()
        var keys = configured + self.stored
        for source in sources { keys += await source.keys ?? [] }
        return Prepared(
            rules: config.rules, configured: configured, sources: sources,
            change: .jwtKeys(Self.ends(keys, self.ended)))
    }

    /// Puts the new rules for claims into force. Call this before the event loops forget which tokens they have
    /// verified.
    package func adoptRules(_ prepared: Prepared) {
        self.table.withLock { $0.rules = prepared.rules }
    }

    /// From now on it is as was prepared. The event loops have been told.
    package func commit(_ prepared: Prepared) async {
        self.configured = prepared.configured
        self.table.withLock { $0.sources = prepared.sources }
        await self.update()
        self.warnOfEnded()
        // A key may have come or gone since the change was prepared.
        if let publish = self.publish { await publish(self.changes)() }
        if self.publish != nil { self.readAgain() }
    }

    /// Which keys count, for an event loop that begins.
    package var changes: [TokenChange] {
        [.jwtKeys(self.table.withLock(\.ends))]
    }

    /// From now on the sets are read again when it is time, and loops are told of what changes.
    package func start(publish: @escaping Publish) async {
        // Sets that were read since the loops began are published here.
        self.publish = publish
        await publish(self.changes)()
        self.readAgain()
    }

    private func readAgain() {
        self.schedule?.cancel()
        let sources = self.table.withLock(\.sources)
        self.schedule = Task {
            await withTaskGroup(of: Void.self) { tasks in
                for source in sources {
                    tasks.addTask {
                        let pause = Duration.nanoseconds(source.config.refresh.nanoseconds)
                        while (try? await Task.sleep(for: pause)) != nil {
                            if await source.refresh() { await self.update() }
                        }
                    }
                }
            }
        }
    }

    package func stop() {
        self.schedule?.cancel()
    }

    /// Seconds by which an issuer's clock may be ahead of ours.
    nonisolated var leeway: Int64 { self.table.withLock(\.rules.leeway) }

    // MARK: - keys

    /// Of all there are, wherever they stand.
    var keys: [JWTKey] { self.table.withLock(\.keys) }

    /// Each with its end: a key that stands without one may have it from elsewhere.
    var keysWithEnds: [(key: JWTKey, until: Int64?)] {
        let table = self.table.withLock(\.self)
        return table.keys.map { key in (key, table.ends[key.identity].flatMap { $0 == .max ? nil : $0 }) }
    }

    private func warnOfEnded() {
        let now = Clock.unixSeconds()
        for (key, until) in self.keysWithEnds where key.source == .config && key.until == nil && until ?? .max <= now {
            self.logger.warning(
                "a key of the configuration is not used: the admin API has retired or deleted it",
                metadata: ["key": "\(key.description.id ?? key.thumbprint)"])
        }
    }

    /// What the database has now.
    ///
    /// - Parameters:
    ///   - ended: of keys that were deleted, their ends by thumbprint.
    ///   - version: later states have greater numbers; an earlier one that comes late is passed over.
    func setStored(_ keys: [StoredJWTKey], ended: [String: Int64], version: Int) async {
        guard let keys = try? await Self.keys(keys), version > self.storedVersion else {
            // The later state has what this one has; it must hold, too, before this one is said to.
            await self.updating?.value
            return
        }
        self.storedVersion = version
        self.stored = keys
        self.ended = ended
        await self.update()
    }

    private static func keys(_ stored: [StoredJWTKey]) async throws -> [JWTKey] {
        var keys: [JWTKey] = []
        for key in stored { keys.append(try await JWTKey(key.description, source: .store, until: key.until)) }
        return keys
    }

    /// Runs one update after the other. Each uses the keys that are known when its turn comes.
    private func update() async {
        let previous = self.updating
        let task = Task {
            await previous?.value
            await self.makeTable()
        }
        self.updating = task
        await task.value
    }

    /// Loops first, then the table: a token must not be found good before its key counts where it is looked up.
    private func makeTable() async {
        var table = self.table.withLock(\.self)
        let before = table.ends
        table.keys = self.configured + self.stored
        let ended = self.ended
        table.isComplete = true
        for source in table.sources {
            if let more = await source.keys { table.keys += more } else { table.isComplete = false }
        }
        table.ends = Self.ends(table.keys, ended)
        if let publish = self.publish, table.ends != before { await publish([.jwtKeys(table.ends)])() }
        self.table.withLock {
            $0.keys = table.keys
            $0.ends = table.ends
            $0.isComplete = table.isComplete
        }
    }

    /// A key that stands in two places is retired when one of them says so: whoever has retired or deleted it by the
    /// API is not contradicted by a set of keys that says nothing of its end, or that has it for another algorithm.
    private static func ends(_ keys: [JWTKey], _ ended: [String: Int64]) -> [String: Int64] {
        let byMaterial = Dictionary(keys.map { ($0.thumbprint, $0.until ?? .max) }, uniquingKeysWith: min)
            .merging(ended, uniquingKeysWith: min)
        return Dictionary(keys.map { ($0.identity, byMaterial[$0.thumbprint] ?? .max) }, uniquingKeysWith: min)
    }

    // MARK: - verification

    /// Verifies everything but the time and revocation, which the keyring of each loop knows.
    ///
    /// - Parameter address: the client's, among which the turns go round.
    package nonisolated func verify(_ text: String, for address: AddressKey) async -> Result<Credential, JWTRefusal> {
        guard var verdict = await self.queue.run(for: address, { self.judge(text) }) else { return .failure(.busy) }
        if case .unknownKey(mayBeRead: true) = verdict {
            // A key that has come since the sets were read.
            guard let place = self.queue.place() else { return .failure(.keysUnavailable) }
            waiting: for await _ in self.refreshes(holding: place) {
                guard let again = await self.queue.run(for: address, { self.judge(text) }) else { return .failure(.busy) }
                verdict = again
                guard case .unknownKey = again else { break waiting }
            }
            if case .unknownKey = verdict, !self.table.withLock(\.isComplete) { return .failure(.keysUnavailable) }
        }
        switch verdict {
        case .good(let credential): return .success(credential)
        case .unknownKey: return .failure(self.refuse(.unknownKey))
        case .bad(let fault): return .failure(self.refuse(fault))
        }
    }

    private enum Verdict: Sendable {
        case good(Credential)
        /// - Parameter mayBeRead: the key may be in a set, of which there is a later state or none yet.
        case unknownKey(mayBeRead: Bool)
        case bad(JWTFault)
    }

    private nonisolated func refuse(_ fault: JWTFault) -> JWTRefusal {
        self.logger.debug("jwt refused", metadata: ["reason": "\(fault)"])
        if case .tooManyKeys(let count) = fault {
            self.notices.warn(
                "jwt refused: too many keys fit it; issuers must write a kid that tells the key",
                ["keys": .stringConvertible(count), "tried": .stringConvertible(Self.triedKeys)])
        }
        return .invalid
    }

    /// On a thread of ``VerificationQueue``.
    private nonisolated func judge(_ text: String) -> Verdict {
        let table = self.table.withLock(\.self)
        do throws(JWTFault) {
            let jwt = try UnverifiedJWT(text)
            let candidates = try table.candidates(for: jwt)
            guard !candidates.isEmpty else {
                return .unknownKey(mayBeRead: !table.sources.isEmpty && (jwt.keyID != nil || !table.isComplete))
            }
            guard let key = candidates.first(where: { $0.verifies(jwt) }) else { throw .signature }
            let token = try table.rules.token(from: try jwt.claims(), fallbackID: jwt.name)
            let former = token.id == jwt.name ? Self.formerNames(text, jwt) : []
            return .good(
                Credential(
                    entry: TokenEntry(token: token, secrets: [], keyID: key.identity, formerIDs: former), generation: 0)
            )
        } catch {
            return .bad(error)
        }
    }

    /// The names that Culvert 0.3 gave to a token without `jti`: made of the whole token, also of its signature, of
    /// which ES256 has two. Revocations by these names are in databases, and hold for both signatures.
    private static func formerNames(_ text: String, _ jwt: UnverifiedJWT) -> [String] {
        var texts = [text]
        if let twin = jwt.twinSignature {
            texts.append(String(decoding: jwt.signedBytes, as: UTF8.self) + "." + Base64URL.encode(twin))
        }
        return texts.map { "jwt_" + Base64URL.encode(TokenDigest(of: $0).bytes.prefix(12)) }
    }

    /// Reads the sets that are due. An element comes when a set has brought other keys, and these count, and one at the
    /// end: the keys of one set do not wait for a server of another that hangs.
    ///
    /// - Parameter place: held until all are read, although a request may have its answer before.
    private nonisolated func refreshes(holding place: VerificationQueue.Place) -> AsyncStream<Void> {
        let sources = self.table.withLock(\.sources)
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        Task {
            await withTaskGroup(of: Bool.self) { tasks in
                for source in sources { tasks.addTask { await source.refreshIfDue() } }
                for await changed in tasks where changed {
                    await self.update()
                    continuation.yield()
                }
            }
            // If another has read them just now, it may not be done with the table yet.
            await self.updated()
            continuation.yield()
            continuation.finish()
            withExtendedLifetime(place) {}
        }
        return stream
    }

    /// Returns when the table has all keys that have been read until now.
    private func updated() async { await self.updating?.value }
}

extension JWTAuthority.Table {
    /// The keys of the token's `kid`, or all there are when it has none; of its algorithm alone.
    ///
    /// - Throws: ``JWTFault/tooManyKeys(_:)`` for more than ``JWTAuthority/triedKeys``. The token is tried with none of
    ///   them then: which keys come first depends on the order of files.
    fileprivate func candidates(for jwt: UnverifiedJWT) throws(JWTFault) -> [JWTKey] {
        let keys = self.keys.filter { key in
            guard key.description.algorithm == jwt.algorithm else { return false }
            guard let wanted = jwt.keyID else { return true }
            return key.description.id?.equals(wanted) ?? false
        }
        guard keys.count > JWTAuthority.triedKeys else { return keys }
        // A key that is retired, or that stands in two places, leaves the others their room.
        let now = Clock.unixSeconds()
        var seen: Set<String> = []
        let standing = keys.filter { key in
            self.ends[key.identity] ?? .max > now && seen.insert(key.identity).inserted
        }
        guard standing.count <= JWTAuthority.triedKeys else { throw .tooManyKeys(standing.count) }
        return standing
    }
}

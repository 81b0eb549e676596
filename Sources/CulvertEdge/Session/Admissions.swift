import CulvertConfig
import CulvertCore
import CulvertSystem
import NIOCore
import Synchronization

/// What is open and under way in the process, and whether there may be more; shared by all event loops. What the limits
/// are is in ``EdgeRules``, so that the counts outlast a reload. A limit that comes with one counts from then on.
final class Admissions: Sendable {
    private let open = Atomic<Int>(0)
    private let inFlight = Atomic<Int>(0)
    private let waiting = Atomic<Int>(0)
    private let connected = Atomic<Int>(0)
    private let bucket = Mutex(TokenBucket())
    fileprivate let addresses = SharedAdmissionTable<AddressKey>()
    /// By source and id. A JWT has an entry on each event loop, so that what is counted there would be a part.
    fileprivate let tokens = SharedAdmissionTable<String>()
    fileprivate let routes = SharedAdmissionTable<String>()
    fileprivate let denials = Denials()

    /// How often each limit has refused.
    fileprivate final class Denials: Sendable {
        private final class Count: Sendable {
            let value = Atomic<Int>(0)
        }

        private let counts: [Count]

        init() {
            self.counts = (0...AdmissionScope.allCases.count * AdmissionLimit.allCases.count).map { _ in Count() }
        }

        /// - Parameter denial: nil for a poll that was not parked.
        private func count(_ denial: (AdmissionScope, AdmissionLimit)?) -> Count {
            guard let (scope, limit) = denial, let row = AdmissionScope.allCases.firstIndex(of: scope),
                let column = AdmissionLimit.allCases.firstIndex(of: limit)
            else { return self.counts[0] }
            return self.counts[1 + row * AdmissionLimit.allCases.count + column]
        }

        func add(_ denial: (AdmissionScope, AdmissionLimit)?) {
            self.count(denial).value.wrappingAdd(1, ordering: .relaxed)
        }

        func read(_ denial: (AdmissionScope, AdmissionLimit)?) -> Int {
            self.count(denial).value.load(ordering: .relaxed)
        }
    }

    var openSessions: Int { self.open.load(ordering: .relaxed) }
    var handshakes: Int { self.inFlight.load(ordering: .relaxed) }
    var parkedPolls: Int { self.waiting.load(ordering: .relaxed) }
    /// Clients' connections whose descriptors are open, whatever they are or were used for.
    var connections: Int { self.connected.load(ordering: .relaxed) }
    var trackedAddresses: Int { self.addresses.count }
    var trackedTokens: Int { self.tokens.count }

    func denied(_ scope: AdmissionScope, _ limit: AdmissionLimit) -> Int { self.denials.read((scope, limit)) }
    var deniedPolls: Int { self.denials.read(nil) }

    // MARK: - connections

    /// A connection was accepted, and is a handshake until its first request is answered.
    ///
    /// A trusted proxy carries many clients, who are counted when it has said who they are.
    ///
    /// - Returns: nil when it is to be closed.
    func accept(peer: @autoclosure () -> String?, rules: EdgeRules) -> ConnectionPlace? {
        let limits = rules.config.limits
        guard self.beginHandshake(limit: limits.process.handshakes) else {
            self.denials.add((.process, .handshakes))
            return nil
        }
        let place = ConnectionPlace(self)
        guard limits.address.handshakes != nil else { return place }
        let peer = peer() ?? ""
        if rules.trustedProxies.trusts(peer) { return place }
        return self.count(place, for: AddressKey(peer), limits: limits) ? place : nil
    }

    /// Counts a handshake for its client's address too, unless it is counted for one already.
    ///
    /// - Returns: false when the address has as many as it may.
    func count(_ place: ConnectionPlace, for key: AddressKey, limits: LimitsConfig) -> Bool {
        guard let limit = limits.address.handshakes, place.address == nil else { return true }
        switch self.addresses.with(key, { $0.beginHandshake(key, limit: limit, now: .now()) }) {
        case .counted: place.address = key
        case .uncounted: break
        case .denied:
            self.denials.add((.address, .handshakes))
            return false
        }
        return true
    }

    /// A place for a connection that goes on as a WebSocket which no session counts.
    ///
    /// - Parameter held: the connection's own; nil when it has had an answer, and counts as a handshake again.
    func upgrade(
        _ held: ConnectionPlace?, address: String, limits: LimitsConfig
    ) throws(AdmissionDenial) -> ConnectionPlace {
        if held == nil, !self.beginHandshake(limit: limits.process.handshakes) {
            self.denials.add((.process, .handshakes))
            throw AdmissionDenial(scope: .process, limit: .handshakes)
        }
        let place = held ?? ConnectionPlace(self)
        guard self.count(place, for: AddressKey(address), limits: limits) else {
            throw AdmissionDenial(scope: .address, limit: .handshakes)
        }
        return place
    }

    /// A connection whose session goes on without it is about to be closed. It counts among the handshakes until it is
    /// gone, above any limit if need be: the limits then refuse what comes next.
    func linger(address: String, rules: EdgeRules) -> ConnectionPlace {
        _ = self.beginHandshake(limit: nil)
        let place = ConnectionPlace(self)
        guard rules.config.limits.address.handshakes != nil else { return place }
        let key = AddressKey(address)
        if case .counted = self.addresses.with(key, { $0.beginHandshake(key, limit: .max, now: .now()) }) {
            place.address = key
        }
        return place
    }

    /// Counts a connection until its descriptor is closed.
    func count(_ channel: any Channel) {
        self.connected.wrappingAdd(1, ordering: .relaxed)
        channel.closeFuture.whenComplete { _ in self.connected.wrappingSubtract(1, ordering: .relaxed) }
    }

    /// Whether a connection that has no use now may wait for one. Past that number each answer is a connection's last.
    func mayKeepAlive(_ limits: LimitsConfig) -> Bool {
        self.connections <= FileDescriptors.needed(sessions: limits.connections)
    }

    fileprivate func beginHandshake(limit: Int?) -> Bool {
        let count = self.inFlight.wrappingAdd(1, ordering: .relaxed).newValue
        if count <= limit ?? .max { return true }
        self.endHandshake()
        return false
    }

    fileprivate func endHandshake() { self.inFlight.wrappingSubtract(1, ordering: .relaxed) }

    // MARK: - sessions

    /// Takes a place for a session that is to be opened, in every scope that has a limit, or in none.
    ///
    /// - Parameters:
    ///   - address: of the client.
    ///   - connection: its place, which becomes a part of the session's; nil when it has had a request answered.
    func open(
        _ admission: Admission, address: String, connection: ConnectionPlace?, limits: LimitsConfig, now: NIODeadline
    ) throws(AdmissionDenial) -> SessionPlace {
        let place = SessionPlace(self, credential: admission.credential)
        do throws(AdmissionDenial) {
            try place.take(
                admission.route, address: address, connection: connection, limits: limits, now: now)
            return place
        } catch {
            place.undo(limits, admission.route, now: now)
            self.denials.add((error.scope, error.limit))
            throw error
        }
    }

    fileprivate func sessionOpened(limit: Int) -> Bool {
        let count = self.open.wrappingAdd(1, ordering: .relaxed).newValue
        if count <= limit { return true }
        self.sessionClosed()
        return false
    }

    fileprivate func sessionClosed() { self.open.wrappingSubtract(1, ordering: .relaxed) }

    fileprivate func take(_ rate: BucketRate, now: NIODeadline) -> TimeAmount? {
        self.bucket.withLock { $0.take(rate, now: now) }
    }

    // MARK: - polls

    /// - Returns: false when as many are parked as may be.
    func mayPark(limit: Int?) -> Bool {
        guard let limit, self.parkedPolls >= limit else { return true }
        self.denials.add(nil)
        return false
    }

    func parked() { self.waiting.wrappingAdd(1, ordering: .relaxed) }
    func unparked() { self.waiting.wrappingSubtract(1, ordering: .relaxed) }
}

/// A connection's place among the handshakes, until its first request has been answered. Bound to its event loop.
final class ConnectionPlace {
    private let admissions: Admissions
    /// Where it counts as a handshake of an address.
    fileprivate(set) var address: AddressKey?
    private var isHeld = true

    fileprivate init(_ admissions: Admissions) {
        self.admissions = admissions
    }

    deinit { self.release() }

    func release() {
        guard self.isHeld else { return }
        self.isHeld = false
        self.admissions.endHandshake()
        if let key = self.address { self.admissions.addresses.with(key) { $0.endHandshake(key, now: .now()) } }
    }
}

/// A session's places, from before its upstream is dialled; given back once, at the latest when nobody holds it any
/// more. Bound to the session's event loop.
final class SessionPlace {
    /// A place in a table, and whether it is one among the handshakes there too.
    private struct Taken<Key> {
        var key: Key
        var isHandshake: Bool
    }

    private let admissions: Admissions
    private var credential: Credential?
    private var address: Taken<AddressKey>?
    private var token: Taken<String>?
    private var route: Taken<String>?
    private var isUsing = false
    private var isOpen = false
    private var isHandshake = false
    /// Of the connection that asked. It may go while the upstream is dialled, and is a handshake all the same.
    private var connection: ConnectionPlace?

    fileprivate init(_ admissions: Admissions, credential: Credential?) {
        self.admissions = admissions
        self.credential = credential
    }

    deinit { self.release() }

    /// Bytes of an id that is counted under itself. A JWT's may be as long as the JWT.
    private static let longestID = 64

    private static func key(_ token: Token) -> String {
        guard token.id.utf8.count > Self.longestID else { return "\(token.source.rawValue):\(token.id)" }
        return "\(token.source.rawValue)#\(Base64URL.encode(TokenDigest(of: token.id).bytes))"
    }

    fileprivate func take(
        _ route: Route, address: String, connection: ConnectionPlace?, limits: LimitsConfig, now: NIODeadline
    ) throws(AdmissionDenial) {
        if !limits.address.isEmpty {
            let key = AddressKey(address)
            self.address = try Self.take(
                key, limits.address, self.admissions.addresses, .address, isHandshake: connection?.address != key, now)
        }
        if let credential = self.credential {
            guard credential.entry.use.sessionOpened(limit: credential.token.limits.sessions) else {
                throw AdmissionDenial(scope: .token, limit: .sessions)
            }
            self.isUsing = true
            if !limits.token.isEmpty {
                let key = Self.key(credential.token)
                self.token = try Self.take(
                    key, limits.token, self.admissions.tokens, .token, isHandshake: true, now)
            }
        }
        if !route.limits.isEmpty {
            self.route = try Self.take(
                route.name, route.limits, self.admissions.routes, .route, isHandshake: true, now)
        }
        guard self.admissions.sessionOpened(limit: limits.connections) else {
            throw AdmissionDenial(scope: .process, limit: .sessions)
        }
        self.isOpen = true
        if let connection {
            self.connection = connection
        } else {
            guard self.admissions.beginHandshake(limit: limits.process.handshakes) else {
                throw AdmissionDenial(scope: .process, limit: .handshakes)
            }
            self.isHandshake = true
        }
        if let rate = limits.process.rate, let wait = self.admissions.take(rate, now: now) {
            throw AdmissionDenial(scope: .process, limit: .rate, wait: wait)
        }
    }

    private static func take<Key>(
        _ key: Key, _ limits: AdmissionLimits, _ table: SharedAdmissionTable<Key>, _ scope: AdmissionScope,
        isHandshake: Bool, _ now: NIODeadline
    ) throws(AdmissionDenial) -> Taken<Key>? {
        switch table.with(key, { $0.open(key, limits, isHandshake: isHandshake, now: now) }) {
        case .counted: return Taken(key: key, isHandshake: isHandshake)
        case .uncounted: return nil
        case .denied(let limit, let wait): throw AdmissionDenial(scope: scope, limit: limit, wait: wait)
        }
    }

    /// Another scope has refused: the buckets get back what was taken from them too.
    fileprivate func undo(_ limits: LimitsConfig, _ route: Route, now: NIODeadline) {
        Self.undo(&self.address, limits.address, self.admissions.addresses, now)
        Self.undo(&self.token, limits.token, self.admissions.tokens, now)
        Self.undo(&self.route, route.limits, self.admissions.routes, now)
        self.release()
    }

    private static func undo<Key>(
        _ taken: inout Taken<Key>?, _ limits: AdmissionLimits, _ table: SharedAdmissionTable<Key>, _ now: NIODeadline
    ) {
        guard let place = taken else { return }
        taken = nil
        table.with(place.key) { $0.undo(place.key, limits, isHandshake: place.isHandshake, now: now) }
    }

    /// The upstream has answered: the session is none of the handshakes any more.
    func answered() {
        if self.isHandshake {
            self.isHandshake = false
            self.admissions.endHandshake()
        }
        self.connection?.release()
        self.connection = nil
        Self.answered(&self.address, self.admissions.addresses)
        Self.answered(&self.token, self.admissions.tokens)
        Self.answered(&self.route, self.admissions.routes)
    }

    private static func answered<Key>(_ taken: inout Taken<Key>?, _ table: SharedAdmissionTable<Key>) {
        guard let key = taken?.key, taken?.isHandshake == true else { return }
        taken?.isHandshake = false
        table.with(key) { $0.endHandshake(key, now: .now()) }
    }

    /// The session is to live by another token, or by another secret of its token. Another token has a place for it, or
    /// the session keeps the place that it has: the sessions of a token would be without bound for a client that has two
    /// tokens. A later secret finds the token's place as it is, whatever its limits have become.
    func move(to credential: Credential, limits: LimitsConfig) throws(AdmissionDenial) {
        // Of a session that has ended there is nothing to move.
        guard self.isOpen else { return }
        let key = Self.key(credential.token)
        let isSame = self.credential.map { Self.key($0.token).equals(key) } ?? false
        if isSame { self.releaseToken() }
        let place = try self.takePlace(key, of: credential, limits, isBounded: !isSame)
        self.releaseToken()
        self.credential = credential
        self.isUsing = true
        self.token = place
    }

    private func takePlace(
        _ key: String, of credential: Credential, _ limits: LimitsConfig, isBounded: Bool
    ) throws(AdmissionDenial) -> Taken<String>? {
        let use = credential.entry.use
        let denial = AdmissionDenial(scope: .token, limit: .sessions)
        guard use.sessionOpened(limit: isBounded ? credential.token.limits.sessions : nil) else {
            self.admissions.denials.add((.token, .sessions))
            throw denial
        }
        guard !limits.token.isEmpty else { return nil }
        let limit = isBounded ? limits.token.sessions : nil
        switch self.admissions.tokens.with(key, { $0.move(to: key, limit: limit, now: .now()) }) {
        case .counted: return Taken(key: key, isHandshake: false)
        case .uncounted: return nil
        case .denied:
            use.sessionClosed()
            self.admissions.denials.add((.token, .sessions))
            throw denial
        }
    }

    private func releaseToken() {
        if self.isUsing { self.credential?.entry.use.sessionClosed() }
        self.isUsing = false
        Self.release(&self.token, self.admissions.tokens)
    }

    func release() {
        self.answered()
        self.releaseToken()
        Self.release(&self.address, self.admissions.addresses)
        Self.release(&self.route, self.admissions.routes)
        if self.isOpen { self.admissions.sessionClosed() }
        self.isOpen = false
    }

    private static func release<Key>(_ taken: inout Taken<Key>?, _ table: SharedAdmissionTable<Key>) {
        guard let key = taken?.key else { return }
        taken = nil
        table.with(key) { $0.close(key, now: .now()) }
    }
}

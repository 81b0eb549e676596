import CulvertCore
import NIOCore
import Synchronization

/// What the operator has said of a server.
package enum ServerState: String, Sendable, CaseIterable {
    case up
    /// It gets no new sessions; those that it has stay.
    case draining
    /// It gets none, and has none.
    case down
}

/// One server of an upstream, as all event loops share it.
final class PooledServer: Sendable {
    let config: UpstreamServer
    private let record: Record

    /// What is known of a server, under whatever configuration: a reload hands it on.
    private final class Record: Sendable {
        /// Open, or being opened.
        let sessions = Atomic<Int>(0)
        /// Whether it has failed of late, and the rest is worth a look: for most it is not, and costs no lock.
        let hasFailed = Atomic<Bool>(false)
        let ejection: Mutex<Ejection>
        /// Index of what the operator said.
        let said = Atomic<Int>(0)

        init(_ policy: EjectionPolicy) { self.ejection = Mutex(Ejection(policy)) }
    }

    /// - Parameter previous: the same server of before a reload.
    init(_ config: UpstreamServer, policy: EjectionPolicy, previous: PooledServer?) {
        self.config = config
        self.record = previous?.record ?? Record(policy)
        self.record.ejection.withLock { $0.policy = policy }
    }

    var openSessions: Int { self.record.sessions.load(ordering: .relaxed) }

    /// - Returns: how many it has now.
    fileprivate func add() -> Int { self.record.sessions.add(1, ordering: .relaxed).newValue }

    fileprivate func remove() { self.record.sessions.subtract(1, ordering: .relaxed) }

    var state: ServerState {
        get { ServerState.allCases[self.record.said.load(ordering: .relaxed)] }
        set { self.record.said.store(ServerState.allCases.firstIndex(of: newValue) ?? 0, ordering: .relaxed) }
    }

    func standing(now: NIODeadline) -> ServerStanding {
        var standing = ServerStanding(
            sessions: self.openSessions, limit: self.config.maxSessions,
            takesNone: self.state != .up)
        guard self.record.hasFailed.load(ordering: .relaxed) else { return standing }
        self.record.ejection.withLock { ejection in
            standing.isEjected = ejection.isEjected(now: now)
            standing.share = ejection.share(now: now)
        }
        return standing
    }

    /// - Returns: for how long it is ejected from now on; nil if it is not.
    func failed(now: NIODeadline) -> TimeAmount? {
        self.record.hasFailed.store(true, ordering: .relaxed)
        return self.record.ejection.withLock { $0.failed(now: now) }
    }

    func succeeded() {
        guard self.record.hasFailed.load(ordering: .relaxed) else { return }
        self.record.ejection.withLock { $0.succeeded() }
    }
}

/// A session's place at a server; given back once, at the latest when nobody holds it any more.
final class ServerLease: Sendable {
    let server: PooledServer
    /// Of the pool's servers.
    let index: Int
    private let isHeld = Atomic<Bool>(true)

    fileprivate init(server: PooledServer, index: Int) {
        self.server = server
        self.index = index
    }

    deinit { self.release() }

    func release() {
        guard self.isHeld.exchange(false, ordering: .relaxed) else { return }
        self.server.remove()
    }
}

/// The servers of an upstream and who gets the next session.
final class ServerPool: Sendable {
    let servers: [PooledServer]
    private let balancer: Balancer
    private let turn = Atomic<Int>(0)

    /// - Parameter previous: of before a reload; servers with the same URL go on.
    init(_ config: UpstreamConfig, previous: ServerPool? = nil) {
        self.servers = config.servers.map { server in
            PooledServer(
                server, policy: config.ejection, previous: previous?.servers.first { $0.config.url == server.url })
        }
        self.balancer = Balancer(
            policy: config.balance, servers: config.servers.map { ($0.url, $0.weight) })
    }

    /// - Parameter tried: servers that could not be reached for this request.
    /// - Returns: nil when none that is left takes a session.
    func lease(key: UInt64, tried: Set<Int>, now: NIODeadline) -> ServerLease? {
        var turn = self.turn.wrappingAdd(1, ordering: .relaxed).oldValue
        // Loops that choose at the same instant may both take the last place; one of them then looks again.
        while let index = self.balancer.choose(
            self.servers.map { $0.standing(now: now) }, turn: turn, key: key, tried: tried)
        {
            let server = self.servers[index]
            let sessions = server.add()
            if sessions <= server.config.maxSessions ?? .max { return ServerLease(server: server, index: index) }
            server.remove()
            turn &+= 1
        }
        return nil
    }
}

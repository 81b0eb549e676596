import CulvertConfig
import CulvertCore
import NIOCore
import Synchronization

/// The state that an operator has set for a server.
package enum ServerState: String, Sendable, CaseIterable {
    case up
    /// It gets no new sessions; those that it has stay.
    case draining
    /// It gets none, and has none.
    case down
}

/// The last check of a server, for people.
package struct LastCheck: Sendable, Equatable {
    /// Unix seconds.
    package var at: Int64
    /// Nil when it was passed.
    package var failure: String?
}

/// A server of an upstream, shared by all event loops.
final class PooledServer: Sendable {
    let config: UpstreamServer
    private let record: Record

    /// The state of a server that outlives a configuration: a reload hands it to the next pool.
    private final class Record: Sendable {
        /// Open, or being opened.
        let sessions = Atomic<Int>(0)
        /// Whether it has failed of late, and the rest is worth a look: for most it is not, and costs no lock.
        let hasFailed = Atomic<Bool>(false)
        let ejection: Mutex<Ejection>
        let isUnhealthy = Atomic<Bool>(false)
        let checks = Mutex<(isHealthy: Bool?, last: LastCheck?)>((nil, nil))
        /// Index of what the operator said.
        let said = Atomic<Int>(0)

        init(_ policy: EjectionPolicy) { self.ejection = Mutex(Ejection(policy)) }
    }

    /// - Parameter previous: the same server of before a reload.
    init(_ config: UpstreamServer, policy: EjectionPolicy, previous: PooledServer?) {
        self.config = config
        self.record = previous?.record ?? Record(policy)
    }

    /// From now on these rules are in force.
    func adopt(_ policy: EjectionPolicy, isChecked: Bool) {
        self.record.ejection.withLock { $0.policy = policy }
        guard !isChecked else { return }
        self.record.checks.withLock { $0 = (nil, nil) }
        self.record.isUnhealthy.store(false, ordering: .relaxed)
    }

    /// Whether it is the same one, under whatever configuration.
    func isSame(as other: PooledServer) -> Bool { self.record === other.record }

    var openSessions: Int { self.record.sessions.load(ordering: .relaxed) }

    /// - Returns: how many it has now.
    fileprivate func add() -> Int { self.record.sessions.add(1, ordering: .relaxed).newValue }

    fileprivate func remove() { self.record.sessions.subtract(1, ordering: .sequentiallyConsistent) }

    var state: ServerState {
        get { ServerState.allCases[self.record.said.load(ordering: .relaxed)] }
        set { self.record.said.store(ServerState.allCases.firstIndex(of: newValue) ?? 0, ordering: .relaxed) }
    }

    /// Nil while no check has shown anything.
    var isHealthy: Bool? { self.record.checks.withLock(\.isHealthy) }

    var lastCheck: LastCheck? { self.record.checks.withLock(\.last) }

    func checked(_ check: LastCheck, isHealthy: Bool?) {
        self.record.checks.withLock { $0 = (isHealthy, check) }
        self.record.isUnhealthy.store(isHealthy == false, ordering: .relaxed)
    }

    fileprivate var hasRoom: Bool { self.state == .up && self.openSessions < self.config.maxSessions ?? .max }

    func standing(now: NIODeadline) -> ServerStanding {
        var standing = ServerStanding(
            sessions: self.openSessions, limit: self.config.maxSessions,
            isUnhealthy: self.record.isUnhealthy.load(ordering: .relaxed), takesNone: self.state != .up)
        guard self.record.hasFailed.load(ordering: .relaxed) else { return standing }
        self.record.ejection.withLock { ejection in
            standing.isEjected = ejection.isEjected(now: now)
            standing.share = ejection.share(now: now)
        }
        return standing
    }

    /// - Returns: for how long it is ejected from now on; nil if it is not.
    func failed(_ fault: ServerFault, now: NIODeadline) -> TimeAmount? {
        self.record.hasFailed.store(true, ordering: .relaxed)
        return self.record.ejection.withLock { $0.failed(fault, now: now) }
    }

    func succeeded() {
        guard self.record.hasFailed.load(ordering: .relaxed) else { return }
        self.record.ejection.withLock { $0.succeeded() }
    }
}

/// A session's place at a server. It is given back once, at the latest when the last reference to it goes.
final class ServerLease: Sendable {
    let server: PooledServer
    /// The server's index in its pool.
    let index: Int
    private let door: PoolDoor
    private let held = Atomic<Bool>(true)

    fileprivate init(server: PooledServer, index: Int, door: PoolDoor) {
        self.server = server
        self.index = index
        self.door = door
    }

    deinit { self.release() }

    var isHeld: Bool { self.held.load(ordering: .relaxed) }

    func release() {
        guard self.held.exchange(false, ordering: .relaxed) else { return }
        self.server.remove()
        self.door.serveWaiting()
    }
}

/// The line of openings that wait for a server of one upstream. It outlives a configuration, because a place that is
/// given under one may be taken under the next.
private final class PoolDoor: Sendable {
    private let current = Mutex<ServerPool?>(nil)

    func set(_ pool: ServerPool) { self.current.withLock { $0 = pool } }

    func clear(_ pool: ServerPool) {
        self.current.withLock { current in
            if current === pool { current = nil }
        }
    }

    func serveWaiting() { self.current.withLock(\.self)?.serveWaiting() }
}

/// The servers of an upstream and who gets the next session.
final class ServerPool: Sendable {
    /// An opening that no server had room for.
    private struct Waiter: Sendable {
        var place: EventLoopPromise<ServerLease>
        var key: UInt64
        var tried: Set<Int>
    }

    let servers: [PooledServer]
    private let balancer: Balancer
    private let turn = Atomic<Int>(0)
    private let door: PoolDoor
    private let ejection: EjectionPolicy
    private let isChecked: Bool
    private let queue: QueueConfig?
    /// The kind of an opening is the set of servers that it has tried.
    private let line: Mutex<WaitingLine<Waiter, Set<Int>>>
    /// The length of the line, for readers that do not want to lock it.
    private let waiters = Atomic<Int>(0)

    /// - Parameter previous: of before a reload; servers with the same URL go on.
    init(_ config: UpstreamConfig, previous: ServerPool? = nil) {
        self.servers = config.servers.map { server in
            PooledServer(
                server, policy: config.ejection, previous: previous?.servers.first { $0.config.url == server.url })
        }
        self.balancer = Balancer(
            policy: config.balance, servers: config.servers.map { ($0.url, $0.weight) })
        self.door = previous?.door ?? PoolDoor()
        self.ejection = config.ejection
        self.isChecked = config.health != nil
        self.queue = config.queue
        self.line = Mutex(WaitingLine(limit: config.queue?.size ?? 0))
    }

    /// Openings that wait for room.
    var waiting: Int { self.waiters.load(ordering: .relaxed) }

    /// A place for a session, at once if there is one and no opening waits for it already.
    ///
    /// Fails with ``UpstreamFailure`` if there is no room, or if the client has gone.
    ///
    /// - Parameters:
    ///   - key: what is hashed, if that is done.
    ///   - tried: servers that could not be reached for this request.
    ///   - client: who waits.
    func place(
        key: UInt64, tried: Set<Int>, for client: PlaceInLine, on loop: any EventLoop
    ) -> EventLoopFuture<ServerLease> {
        if self.waiters.load(ordering: .relaxed) == 0, let lease = self.lease(key: key, tried: tried, now: .now()) {
            return loop.makeSucceededFuture(lease)
        }
        guard let queue = self.queue else { return loop.makeFailedFuture(Self.full("no server takes a session")) }
        let promise = loop.makePromise(of: ServerLease.self)
        let joined = self.line.withLock { line in
            let number = line.join(Waiter(place: promise, key: key, tried: tried), as: tried)
            self.waiters.store(line.count, ordering: .sequentiallyConsistent)
            return number
        }
        guard let number = joined else {
            let isClosed = self.line.withLock(\.isClosed)
            promise.fail(isClosed ? .superseded : Self.full("no server takes a session, and the queue is full"))
            return promise.futureResult
        }
        // Room that was made before it stood in line was not made for it.
        self.serveWaiting()
        let deadline = loop.scheduleTask(in: queue.timeout) {
            self.leave(number, Self.full("no server had room in time"))
        }
        client.stand { self.leave(number, .clientGone) }
        promise.futureResult.assumeIsolated().whenComplete { _ in
            deadline.cancel()
            client.stand(nil)
        }
        return promise.futureResult
    }

    private static func full(_ reason: String) -> UpstreamFailure {
        UpstreamFailure(isTimeout: false, isFull: true, reason: reason)
    }

    private func leave(_ number: WaitingLine<Waiter, Set<Int>>.Number, _ failure: UpstreamFailure) {
        let waiter = self.line.withLock { line in
            let waiter = line.leave(number)
            self.waiters.store(line.count, ordering: .sequentiallyConsistent)
            return waiter
        }
        waiter?.place.fail(failure)
    }

    /// Call this when a place may have become free.
    ///
    /// A place is given back before this looks for openings that wait, and an opening enters the line before it looks
    /// for a place. So one of the two sees the other.
    func serveWaiting() {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        guard self.waiters.load(ordering: .relaxed) > 0 else { return }
        // Completed outside of the lock: who is served may give its place back at once.
        let served = self.line.withLock { line in
            let served = line.serve(while: { self.servers.contains(where: \.hasRoom) }) { waiter in
                self.lease(key: waiter.key, tried: waiter.tried, now: .now())
            }
            self.waiters.store(line.count, ordering: .sequentiallyConsistent)
            return served
        }
        for (waiter, lease) in served { waiter.place.succeed(lease) }
    }

    /// It is the upstream's pool from now on.
    func start() {
        for server in self.servers { server.adopt(self.ejection, isChecked: self.isChecked) }
        self.door.set(self)
        // Places that were given back while this one was not known.
        self.serveWaiting()
    }

    /// Closes the line. The openings that waited may try the next pool, if there is one.
    func stop() {
        self.door.clear(self)
        let waiters = self.line.withLock { line in
            self.waiters.store(0, ordering: .relaxed)
            return line.close()
        }
        for waiter in waiters { waiter.place.fail(UpstreamFailure.superseded) }
    }

    /// - Parameter tried: servers that could not be reached for this request.
    /// - Returns: nil when none that is left takes a session.
    private func lease(key: UInt64, tried: Set<Int>, now: NIODeadline) -> ServerLease? {
        var turn = self.turn.wrappingAdd(1, ordering: .relaxed).oldValue
        // Loops that choose at the same instant may both take the last place; one of them then looks again.
        while let index = self.balancer.choose(
            self.servers.map { $0.standing(now: now) }, turn: turn, key: key, tried: tried)
        {
            let server = self.servers[index]
            let sessions = server.add()
            if sessions <= server.config.maxSessions ?? .max {
                return ServerLease(server: server, index: index, door: self.door)
            }
            server.remove()
            turn &+= 1
        }
        return nil
    }
}

/// Between a client's connection and the opening that is under way for it, in line or at a server: ends the opening
/// when the client goes. Bound to the connection's loop.
final class PlaceInLine {
    /// Asked before a server is dialled, because the wait may have been long. The owner sets it, and takes it back when
    /// it has the outcome.
    var mayDial: () -> Bool = { true }
    private var onLeave: (() -> Void)?
    private(set) var isGone = false

    /// An opening waits here, or is under way at a server.
    var isStanding: Bool { self.onLeave != nil }

    /// - Parameter onLeave: ends what is under way now; nil when nothing is.
    func stand(_ onLeave: (() -> Void)?) {
        self.onLeave = onLeave
        if self.isGone { self.leave() }
    }

    /// The client is gone.
    func leave() {
        self.isGone = true
        let onLeave = self.onLeave
        self.onLeave = nil
        onLeave?()
    }
}

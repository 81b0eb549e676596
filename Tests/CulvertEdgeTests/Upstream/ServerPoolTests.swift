import CulvertConfig
import CulvertCore
import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

/// An opening that asks a pool for a place, and what became of it.
private final class Opening {
    let client = PlaceInLine()
    private(set) var lease: ServerLease?
    private(set) var failure: UpstreamFailure?

    init(_ pool: ServerPool, on loop: EmbeddedEventLoop, tried: Set<Int> = []) {
        pool.place(key: 0, tried: tried, for: self.client, on: loop).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let lease): self.lease = lease
            case .failure(let error): self.failure = error as? UpstreamFailure
            }
        }
    }

    var isWaiting: Bool { self.lease == nil && self.failure == nil }
}

@Suite("The servers of an upstream, and who waits for them")
struct ServerPoolTests {
    private static let queue = "queue: { size: 2, timeout: 2s }"

    /// - Parameters:
    ///   - keys: of the upstream, beside its servers.
    ///   - most: sessions of each server.
    private static func config(_ keys: String = "", servers: Int = 1, most: Int = 1) throws -> UpstreamConfig {
        let list = (1...servers).map { "{ url: \"ws://127.0.0.1:\($0)\", max_sessions: \(most) }" }
        let more = keys.isEmpty ? "" : ", " + keys
        let yaml = """
            listen: [ { address: "127.0.0.1:0" } ]
            routes: [ { path: /, upstream: echo, origins: { allow: ["https://a.test"] } } ]
            upstreams: { echo: { servers: [ \(list.joined(separator: ", ")) ]\(more) } }
            """
        let config = try ConfigLoader.parse(yaml, file: "test", directory: "", keys: .none, environment: [:])
        return try #require(config.upstreams["echo"])
    }

    private static func pool(_ config: UpstreamConfig, previous: ServerPool? = nil) -> ServerPool {
        let pool = ServerPool(config, previous: previous)
        pool.start()
        return pool
    }

    @Test("A place that is given back goes to the opening that has waited longest; the line has its length")
    func line() throws {
        let loop = EmbeddedEventLoop()
        let pool = Self.pool(try Self.config(Self.queue))
        defer { pool.stop() }
        let openings = (0..<4).map { _ in Opening(pool, on: loop) }
        #expect(openings.map(\.isWaiting) == [false, true, true, false] && pool.waiting == 2)
        #expect(openings[3].failure?.isFull == true)
        openings[0].lease?.release()
        #expect(openings[1].lease != nil && openings[2].isWaiting)
        #expect(pool.waiting == 1 && pool.servers[0].openSessions == 1)
        openings[1].lease?.release()
        #expect(openings[2].lease != nil && pool.waiting == 0)
    }

    @Test("An opening waits for its time and not longer, and leaves the line when its client goes")
    func leaves() throws {
        let loop = EmbeddedEventLoop()
        let pool = Self.pool(try Self.config(Self.queue))
        defer { pool.stop() }
        let openings = (0..<3).map { _ in Opening(pool, on: loop) }
        openings[1].client.leave()
        #expect(openings[1].failure?.isClientGone == true && pool.waiting == 1)
        loop.advanceTime(by: .milliseconds(1999))
        #expect(openings[2].isWaiting && openings[2].client.isStanding)
        loop.advanceTime(by: .milliseconds(1))
        #expect(openings[2].failure?.isFull == true && !openings[2].client.isStanding && pool.waiting == 0)
        // Nobody is left who might have the place.
        openings[0].lease?.release()
        #expect(pool.servers[0].openSessions == 0)
    }

    @Test("Without a queue no opening waits")
    func noQueue() throws {
        let loop = EmbeddedEventLoop()
        let pool = Self.pool(try Self.config())
        let openings = (0..<2).map { _ in Opening(pool, on: loop) }
        #expect(openings[1].failure?.isFull == true && openings[0].lease != nil)
    }

    @Test("A place is given back once, at the latest when nobody holds it")
    func once() throws {
        let loop = EmbeddedEventLoop()
        let pool = Self.pool(try Self.config(Self.queue, most: 9))
        let first = Opening(pool, on: loop)
        do {
            let second = Opening(pool, on: loop)
            #expect(second.lease?.isHeld == true && pool.servers[0].openSessions == 2)
            withExtendedLifetime(second) {}
        }
        #expect(pool.servers[0].openSessions == 1)
        first.lease?.release()
        first.lease?.release()
        #expect(pool.servers[0].openSessions == 0 && first.lease?.isHeld == false)
    }

    @Test("A server that an operator has closed takes none, and whoever waits when it is up again")
    func draining() throws {
        let loop = EmbeddedEventLoop()
        let pool = Self.pool(try Self.config(Self.queue, servers: 2, most: 9))
        defer { pool.stop() }
        pool.servers[0].state = .draining
        #expect((0..<4).map { _ in Opening(pool, on: loop) }.map { $0.lease?.index } == [1, 1, 1, 1])
        // It has tried the other one.
        let waiter = Opening(pool, on: loop, tried: [1])
        #expect(waiter.isWaiting)
        pool.servers[0].state = .up
        pool.serveWaiting()
        #expect(waiter.lease?.index == 0)
    }

    @Test("A reload keeps the count of a server's sessions, and a place that is given back then goes to the new line")
    func reload() throws {
        let loop = EmbeddedEventLoop()
        let config = try Self.config(Self.queue)
        let old = Self.pool(config)
        let (first, early) = (Opening(old, on: loop), Opening(old, on: loop))
        let new = ServerPool(config, previous: old)
        old.stop()
        new.start()
        defer { new.stop() }
        #expect(early.failure?.isSuperseded == true)
        let late = Opening(new, on: loop)
        #expect(late.isWaiting && new.servers[0].openSessions == 1)
        first.lease?.release()
        #expect(late.lease != nil && new.servers[0].openSessions == 1)
        #expect(Opening(old, on: loop).failure?.isSuperseded == true)
    }

    @Test("A server that fails gets no session while another takes one, and a success ends the row of its failures")
    func ejection() throws {
        let loop = EmbeddedEventLoop()
        let pool = Self.pool(try Self.config("eject: { failures: 2, time: 1m }", servers: 2, most: 2))
        let (first, now) = (pool.servers[0], NIODeadline.now())
        #expect(first.failed(.unreachable, now: now) == nil)
        first.succeeded()
        #expect(first.failed(.unreachable, now: now) == nil && !first.standing(now: now).isEjected)
        #expect(first.failed(.unreachable, now: now) == .minutes(1) && first.standing(now: now).isEjected)
        // The last two have no other server.
        let openings = (0..<5).map { _ in Opening(pool, on: loop) }
        #expect(openings.map { $0.lease?.index } == [1, 1, 0, 0, nil])
    }
}

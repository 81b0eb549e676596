import CulvertCore
import NIOCore
import Testing

@Suite("Fair shares and shedding")
struct SheddingTests {
    private typealias Server = FairShare.Server

    struct Row: Sendable {
        var servers: [FairShare.Server]
        var slack = 0.0
        var targets: [Int?]
    }

    private static func servers(_ sessions: [Int], _ weights: [Int]? = nil) -> [Server] {
        sessions.indices.map { Server(sessions: sessions[$0], weight: weights?[$0] ?? 1) }
    }

    @Test(arguments: [
        Row(servers: [], targets: []),
        Row(servers: servers([0, 0]), targets: [0, 0]),
        Row(servers: servers([30, 0, 0]), targets: [10, 10, 10]),
        // Rounded up: one more than a share is not worth a reconnection.
        Row(servers: servers([10, 0, 0]), targets: [4, 4, 4]),
        Row(servers: servers([12, 0], [2, 1]), targets: [8, 4]),
        Row(servers: servers([0, 30], [1000, 500]), targets: [20, 10]),
        Row(servers: servers([7, 7, 7], [3, 3, 1]), targets: [9, 9, 3]),
        // Who takes no part has no share, and its sessions are nobody's.
        Row(
            servers: [Server(sessions: 9), Server(sessions: 5, takesPart: false), Server(sessions: 1)],
            targets: [5, nil, 5]),
        Row(servers: [Server(sessions: 9, takesPart: false)], targets: [nil]),
        // What one has no room for is the others'.
        Row(
            servers: [Server(sessions: 2, limit: 2), Server(sessions: 28), Server(sessions: 0)],
            targets: [2, 14, 14]),
        Row(
            servers: [Server(sessions: 30), Server(sessions: 0, limit: 4), Server(sessions: 0, limit: 13)],
            targets: [13, 4, 13]),
        Row(servers: [Server(sessions: 3, limit: 3), Server(sessions: 3, limit: 3)], targets: [3, 3]),
        Row(servers: servers([40, 0]), slack: 0.25, targets: [25, 25]),
    ])
    func sharesAreByWeight(_ row: Row) {
        #expect(FairShare.targets(row.servers, slack: row.slack) == row.targets)
    }

    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    @Test("The first goes at once, then so many a second, whenever it is asked")
    func rate() {
        var shedding = Shedding(Self.servers([100, 0]), slack: 0, rate: 10, now: Self.start)
        #expect(shedding.due(now: Self.start) == 1)
        shedding.didShed(server: 0)
        #expect(shedding.due(now: Self.start + .milliseconds(99)) == 0)
        #expect(shedding.due(now: Self.start + .milliseconds(100)) == 1)
        #expect(shedding.due(now: Self.start + .milliseconds(350)) == 3)
        for _ in 0..<3 { shedding.didShed(server: 0) }
        #expect(shedding.due(now: Self.start + .milliseconds(399)) == 0)
        #expect(shedding.due(now: Self.start + .seconds(1)) == 7)
    }

    @Test("It ends when the excess is gone, by itself or by shedding")
    func excess() {
        let before = Self.servers([10, 2, 0])
        var shedding = Shedding(before, slack: 0, rate: 1, now: Self.start)
        #expect(shedding.excess(before, slack: 0) == [6, 0, 0])
        shedding.didShed(server: 0)
        #expect(shedding.excess(Self.servers([9, 2, 1]), slack: 0) == [5, 0, 0])
        // Some are on their way back: the share has not shrunk for that.
        #expect(shedding.excess(Self.servers([9, 2, 0]), slack: 0) == [5, 0, 0])
        #expect(shedding.excess(Self.servers([4, 0, 0]), slack: 0) == [0, 0, 0])
    }

    @Test("What comes back to where it was is not shed again")
    func budget() {
        let servers = Self.servers([10, 0])
        var shedding = Shedding(servers, slack: 0, rate: 1, now: Self.start)
        for left in [4, 3, 2, 1, 0] {
            shedding.didShed(server: 0)
            #expect(shedding.excess(servers, slack: 0) == [left, 0])
        }
    }

    @Test("Nothing is shed for the sake of a server that is lost meanwhile")
    func lostMeanwhile() {
        var servers = Self.servers([10, 0])
        let shedding = Shedding(servers, slack: 0, rate: 1, now: Self.start)
        #expect(shedding.excess(servers, slack: 0) == [5, 0])
        servers[1].takesPart = false
        #expect(shedding.excess(servers, slack: 0) == [0, 0])
    }

    @Test("A server without sessions that could go has no excess any more")
    func exhausted() {
        let servers = Self.servers([10, 0])
        var shedding = Shedding(servers, slack: 0, rate: 1, now: Self.start)
        shedding.exhausted(server: 0)
        #expect(shedding.excess(servers, slack: 0) == [0, 0])
    }
}

import CulvertCore
import Testing

@Suite("Balancer")
struct BalancerTests {
    private static func balancer(_ policy: BalancePolicy, _ weights: [Int]) -> Balancer {
        Balancer(policy: policy, servers: weights.enumerated().map { ("ws://s\($0):80", $1) })
    }

    private static func standings(_ sessions: [Int]) -> [ServerStanding] {
        sessions.map { ServerStanding(sessions: $0) }
    }

    struct Least: Sendable {
        var weights: [Int]
        var standings: [ServerStanding]
        var turn = 0
        var tried: Set<Int> = []
        var choice: Int?
    }

    @Test(arguments: [
        Least(weights: [1, 1, 1], standings: standings([2, 1, 2]), choice: 1),
        Least(weights: [1, 1], standings: standings([3, 3]), turn: 1, choice: 1),
        Least(weights: [1, 1], standings: standings([3, 3]), turn: 2, choice: 0),
        Least(weights: [3, 1], standings: standings([4, 1]), choice: 0),
        Least(weights: [3, 1], standings: standings([5, 0]), choice: 1),
        Least(weights: [30, 10], standings: standings([5, 0]), choice: 1),
        Least(weights: [1, 1], standings: standings([0, 9]), tried: [0], choice: 1),
        Least(weights: [1, 1], standings: standings([0, 9]), tried: [0, 1], choice: nil),
        Least(weights: [1, 1], standings: [ServerStanding(isEjected: true), ServerStanding(sessions: 9)], choice: 1),
        Least(
            weights: [1, 1], standings: [ServerStanding(isUnhealthy: true), ServerStanding(sessions: 9)], choice: 1),
        // Never the last.
        Least(
            weights: [1, 1],
            standings: [ServerStanding(sessions: 1, isUnhealthy: true), ServerStanding(isEjected: true)], choice: 1),
        Least(
            weights: [1, 1],
            standings: [ServerStanding(isUnhealthy: true), ServerStanding(sessions: 2, limit: 2)], choice: 0),
        Least(
            weights: [1, 1],
            standings: [ServerStanding(sessions: 1, isEjected: true), ServerStanding(isEjected: true)], choice: 1),
        Least(
            weights: [1, 1], standings: [ServerStanding(sessions: 2, limit: 2), ServerStanding(sessions: 9)], choice: 1),
        Least(weights: [1], standings: [ServerStanding(sessions: 2, limit: 2)], choice: nil),
        Least(
            weights: [1, 1], standings: [ServerStanding(takesNone: true), ServerStanding(isEjected: true)], choice: 1),
        Least(weights: [1], standings: [ServerStanding(takesNone: true)], choice: nil),
        // One that has come back takes as many as the others have for its share of the weight.
        Least(
            weights: [1, 1], standings: [ServerStanding(sessions: 1, share: 0.1), ServerStanding(sessions: 18)],
            choice: 1),
        Least(
            weights: [1, 1], standings: [ServerStanding(sessions: 0, share: 0.1), ServerStanding(sessions: 18)],
            choice: 0),
    ])
    func fewestSessionsForItsWeight(_ row: Least) {
        let choice = Self.balancer(.leastSessions, row.weights).choose(
            row.standings, turn: row.turn, key: 0, tried: row.tried)
        #expect(choice == row.choice)
    }

    @Test("Turns are as many as the weights say, and interleaved")
    func roundRobin() {
        let balancer = Self.balancer(.roundRobin, [5, 1, 1])
        let standings = Self.standings([0, 0, 0])
        let turns = (0..<14).map { balancer.choose(standings, turn: $0, key: 0) }
        #expect(turns == [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0])
        #expect(balancer.choose(standings, turn: .max, key: 0) != nil)
        #expect(balancer.choose(standings, turn: .min, key: 0) != nil)
    }

    @Test("Who is out of the round is passed over, and the others keep their turns")
    func roundRobinWithout() {
        let balancer = Self.balancer(.roundRobin, [1, 1, 1])
        let standings = [ServerStanding(), ServerStanding(isEjected: true), ServerStanding()]
        #expect((0..<6).map { balancer.choose(standings, turn: $0, key: 0) } == [0, 2, 2, 0, 2, 2])
        #expect(balancer.choose(standings, turn: 0, key: 0, tried: [0, 2]) == 1)
    }

    private static func placed(_ balancer: Balancer, servers: Int, keys: Int, without: Set<Int> = []) -> [Int?] {
        // Each by itself: what hashing alone says.
        let standings = (0..<servers).map { ServerStanding(isEjected: without.contains($0)) }
        return (0..<keys).map { balancer.choose(standings, turn: 0, key: Balancer.hash("subject-\($0)")) }
    }

    @Test("A key has the same server each time; shares follow weights")
    func hashing() {
        let balancer = Self.balancer(.consistentHash(by: .subject), [1, 1, 2])
        let first = Self.placed(balancer, servers: 3, keys: 4000)
        #expect(first == Self.placed(balancer, servers: 3, keys: 4000))
        let counts = (0..<3).map { server in first.count { $0 == server } }
        for (count, share) in zip(counts, [1000, 1000, 2000]) { #expect(abs(count - share) < share / 4) }
    }

    @Test("When a server is out only its keys move, and they come back")
    func hashingWithout() {
        let balancer = Self.balancer(.consistentHash(by: .subject), [1, 1, 1, 1])
        let all = Self.placed(balancer, servers: 4, keys: 1000)
        let without = Self.placed(balancer, servers: 4, keys: 1000, without: [2])
        for (before, after) in zip(all, without) where before != 2 { #expect(before == after) }
        #expect(!without.contains(2))
    }

    @Test("A server more moves only the keys that become its own")
    func hashingGrows() {
        let three = Self.placed(Self.balancer(.consistentHash(by: .subject), [1, 1, 1]), servers: 3, keys: 1000)
        let four = Self.placed(Self.balancer(.consistentHash(by: .subject), [1, 1, 1, 1]), servers: 4, keys: 1000)
        for (before, after) in zip(three, four) { #expect(before == after || after == 3) }
    }

    @Test("However few the keys, no server gets much more than its share")
    func boundedLoad() {
        let balancer = Self.balancer(.consistentHash(by: .subject), [1, 1, 1, 1])
        var sessions = [0, 0, 0, 0]
        for _ in 0..<400 {
            let choice = balancer.choose(Self.standings(sessions), turn: 0, key: Balancer.hash("one and the same"))
            sessions[choice ?? 0] += 1
        }
        #expect(sessions.reduce(0, +) == 400)
        #expect(sessions.allSatisfy { $0 <= 126 }, "\(sessions)")
    }
}

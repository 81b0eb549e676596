import CulvertCore
import NIOCore
import Testing

@Suite("Connections that are closed for clients that wait")
struct LongestWaitingTests {
    private static func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

    private static func session(_ number: UInt64) -> SessionID { SessionID(node: 1, shard: 0, random: (number, 0)) }

    @Test("Those that have waited longest are chosen, in that order")
    func order() {
        var waiting = LongestWaiting<Int64>(most: 3)
        for since: Int64 in [5, 2, 9, 7, 1, 8, 3] { waiting.consider(since, since: Self.at(since)) }
        #expect(waiting.connections == [1, 2, 3])
    }

    @Test("A connection that brings a body to a session is spared, however long it is silent")
    func bodies() {
        var waiting = LongestWaiting<Int64>(most: 3)
        for since: Int64 in 1...3 {
            waiting.consider(since, since: Self.at(since), bodyFor: Self.session(UInt64(since)))
        }
        #expect(waiting.connections.isEmpty)
    }

    @Test("Of several that bring bodies to a session the last to go on is spared", arguments: [[1, 2, 3], [3, 1, 2]])
    func bodiesOfOne(order: [Int64]) {
        var waiting = LongestWaiting<Int64>(most: 3)
        for since in order { waiting.consider(since, since: Self.at(since), bodyFor: Self.session(1)) }
        waiting.consider(0, since: Self.at(0))
        #expect(waiting.connections == [0, 1, 2])
    }
}

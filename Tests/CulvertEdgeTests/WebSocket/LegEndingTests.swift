import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

@Suite("How far the end of a leg's connection has come")
struct LegEndingTests {
    private static func channel() throws -> EmbeddedChannel {
        let channel = EmbeddedChannel()
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        return channel
    }

    @Test(
        "Of the times to close at the latest the earliest holds",
        arguments: [([3], 3), ([3, 1], 1), ([1, 3], 1), ([2, 2], 2)] as [([Int64], Int64)])
    func latest(times: [Int64], end: Int64) throws {
        let channel = try Self.channel()
        var ending = LegEnding()
        #expect(!ending.hasBegun)
        for time in times { ending.closeAtLatest(in: .seconds(time), channel) }
        #expect(ending.hasBegun)
        channel.embeddedEventLoop.advanceTime(by: .seconds(end) - .nanoseconds(1))
        #expect(channel.isActive)
        channel.embeddedEventLoop.advanceTime(by: .nanoseconds(1))
        #expect(!channel.isActive)
    }

    @Test("A connection that is closed has no time to close at, and its loss is told once")
    func lost() throws {
        let channel = try Self.channel()
        var ending = LegEnding()
        ending.closeAtLatest(in: .seconds(1), channel)
        let losses = [ending.lose(), ending.lose()]
        #expect(losses == [true, false])
        #expect(ending.isLost && !ending.hasBegun && !ending.owesLoss)
        ending.closeAtLatest(in: .seconds(1), channel)
        #expect(!ending.hasBegun)
        channel.embeddedEventLoop.advanceTime(by: .seconds(2))
        #expect(channel.isActive)
        ending.oweLoss()
        #expect(ending.owesLoss)
        let told = [ending.takeLoss(), ending.takeLoss()]
        #expect(told == [true, false])
    }

    @Test(
        "The end of the peer's direction is the connection's, but not between the peer's Close and ours",
        arguments: [(false, false, false), (false, true, false), (true, false, false), (true, true, true)])
    func input(isClosed: Bool, endsWithIt: Bool, isDue: Bool) {
        var ending = LegEnding()
        ending.isInputClosed = isClosed
        ending.endsWithInput = endsWithIt
        #expect(ending.isDue == isDue)
        ending.linger()
        #expect(ending.isLingering)
        #expect(ending.isDue == isClosed)
    }
}

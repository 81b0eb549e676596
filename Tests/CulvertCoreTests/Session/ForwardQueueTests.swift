import CulvertCore
import NIOCore
import Testing

struct ForwardQueueTests {
    private static let bye = CloseFrame(code: .normal, reason: "bye")

    private static func queue(_ batches: [[String]]) -> ForwardQueue {
        var queue = ForwardQueue()
        for batch in batches { queue.append(batch.map(textMessage)[...], heldBytes: 100) }
        return queue
    }

    private static func texts(_ taken: ForwardQueue.Taken) -> [String] {
        taken.messages.flatMap { $0 }.map { String(buffer: $0.payload) }
    }

    @Test("A turn takes as many messages as it may, and the next turn goes on behind them")
    func turns() {
        var queue = Self.queue([["a", "b", "c"], ["d"], ["e", "f"]])
        let turns = [2, 3, 9].map { Self.texts(queue.take(messages: $0)) }
        #expect(turns == [["a", "b"], ["c", "d", "e"], ["f"]])
        #expect(queue.isEmpty && queue.heldBytes == 0)
    }

    @Test("A turn takes as many bytes as it may, and the message that exceeds them")
    func bytes() {
        var queue = Self.queue([["four", "four", "four"]])
        let first = queue.take(messages: 100, bytes: 5)
        let second = queue.take(messages: 100, bytes: 5)
        #expect(Self.texts(first) == ["four", "four"] && Self.texts(second) == ["four"])
    }

    @Test("A batch counts what it holds until its last message has passed")
    func held() {
        var queue = Self.queue([["a", "b"], ["c"]])
        #expect(queue.heldBytes == 200)
        _ = queue.take(messages: 1)
        #expect(queue.heldBytes == 200)
        _ = queue.take(messages: 1)
        #expect(queue.heldBytes == 100)
    }

    @Test("A Close and an answer come behind the messages in front of them, and no earlier")
    func order() {
        var queue = Self.queue([["a", "b"]])
        queue.append(ForwardQueue.Reply(ticket: 1))
        queue.append(Self.bye)
        queue.append(ForwardQueue.Reply(ticket: 2, isClose: true))
        #expect(queue.hasClose)
        let first = queue.take(messages: 1)
        #expect(first.close == nil && first.replies == [])
        let rest = queue.take(messages: 1000)
        #expect(Self.texts(rest) == ["b"] && rest.close == Self.bye)
        #expect(rest.replies.map(\.ticket) == [1, 2] && !queue.hasClose)
    }

    @Test("An answer takes as much of a turn as 128 messages do")
    func answers() {
        var queue = ForwardQueue()
        for ticket in UInt64(1)...4 { queue.append(ForwardQueue.Reply(ticket: ticket)) }
        queue.append(["a"].map(textMessage)[...], heldBytes: 100)
        let turns = [128, 129, 129].map { queue.take(messages: $0) }
        #expect(turns.map { $0.replies.map(\.ticket) } == [[1], [2, 3], [4]])
        #expect(turns.map(Self.texts) == [[], [], ["a"]])
    }

    @Test("What is dropped leaves its Close and the requests that wait, and none of its messages")
    func dropped() {
        var queue = Self.queue([["a", "b"]])
        queue.append(Self.bye)
        queue.append(ForwardQueue.Reply(ticket: 7))
        let dropped = queue.drop()
        #expect(dropped.messages.isEmpty && dropped.close == Self.bye && dropped.replies.map(\.ticket) == [7])
        #expect(queue.isEmpty && !queue.hasClose)
    }
}

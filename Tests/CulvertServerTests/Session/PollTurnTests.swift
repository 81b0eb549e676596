import NIOEmbedded
import Testing

@testable import CulvertCore
@testable import CulvertServer

@Suite("Requests that wait for their turn")
struct PollTurnTests {
    @Test("The latest request of a session has the turn, once")
    func latest() {
        var turn = PollTurn()
        turn.wait(1)
        turn.wait(2)
        let found = [1, 2, 2].map { turn.take($0) }
        #expect(found == [false, true, false])
    }

    @Test("A request whose connection is gone has none, and takes none from another")
    func gone() {
        var turn = PollTurn()
        turn.wait(1)
        turn.leave(1)
        let gone = turn.take(1)
        turn.wait(2)
        turn.leave(1)
        let other = turn.take(2)
        #expect(!gone && other)
    }

    @Test("A request that was served at once replaces the one that waits")
    func superseded() {
        var turn = PollTurn()
        turn.wait(1)
        turn.supersede()
        let isServed = turn.take(1)
        #expect(!isServed)
    }

    @Test("Many bytes of few messages make a loop busy, as many messages do")
    func bytes() {
        let slices = LoopSlices(loop: EmbeddedEventLoop())
        let batch = PollBatch(ack: 0, first: 1)
        #expect(slices.notePassed(batch, bytes: 100 * LoopSlices.bytesPerMessage) == 100)
        #expect(!slices.isShort)
        slices.notePassed(bytes: LoopSlices.messages * LoopSlices.bytesPerMessage)
        #expect(slices.isShort)
    }
}

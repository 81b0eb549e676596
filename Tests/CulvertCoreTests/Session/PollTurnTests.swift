import CulvertCore
import Testing

@Suite("Requests that wait for their turn")
struct PollTurnTests {
    @Test("The latest request of a session has the turn, once")
    func latest() {
        var turn = PollTurn()
        turn.wait(1)
        turn.wait(2)
        let found = [1, 2, 2].map { turn.take($0) }
        #expect(found == [nil, true, nil])
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
        #expect(gone == nil && other == true)
    }

    @Test("A request that was served at once replaces the one that waits")
    func superseded() {
        var turn = PollTurn()
        turn.wait(1)
        turn.supersede()
        let isServed = turn.take(1)
        #expect(isServed == nil)
    }

    @Test("A request whose client half-closes is served, and may not wait; a later request may")
    func halfClosed() {
        var turn = PollTurn()
        turn.wait(1)
        turn.endInput(2)
        turn.endInput(1)
        let first = turn.take(1)
        turn.wait(2)
        let second = turn.take(2)
        #expect(first == false && second == true)
    }
}

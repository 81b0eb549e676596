import CulvertCore
import NIOCore

/// What a session tells its lane.
enum LaneOrder: Sendable {
    case text(String)
    case batch(PollBatch)
    /// What came was taken: bring more.
    case read
    case close(CloseFrame)
}

/// What a lane tells its session.
enum LaneEvent: Sendable {
    /// What a read has brought, of which either may be empty.
    case batches([PollBatch], ControlCount)
    case writable(Bool)
    /// Bytes of an envelope have come that is not whole. Told now and then.
    case parts
    /// Bytes that wait in the lane, by and large.
    case holds(Int)
    case lost
}

/// A lane as its session holds it, whose loop may be another.
struct LaneLink: Sendable {
    let lane: NIOLoopBound<SocketLane>

    func send(_ order: LaneOrder) { self.onLoop { $0.obey(order) } }

    /// What became of the wish to join.
    func answer(_ answer: PollAnswer) { self.onLoop { $0.answered(answer) } }

    private func onLoop(_ body: @escaping @Sendable (SocketLane) -> Void) {
        let lane = self.lane
        if lane.eventLoop.inEventLoop {
            body(lane.value)
        } else {
            lane.eventLoop.execute { body(lane.value) }
        }
    }
}

import CulvertCore
import NIOCore

/// The orders of a session to its lane.
enum LaneOrder: Sendable {
    case text(String)
    case batch(PollBatch)
    /// The session has taken everything that came: bring more.
    case read
    case close(CloseFrame)
}

/// The reports of a lane to its session.
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

    /// The session's answer to a lane that wants to join.
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

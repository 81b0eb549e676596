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
    /// The batches and the control frames of a read; either may be empty.
    case batches([PollBatch], ControlCount)
    case writable(Bool)
    /// Bytes of an envelope have come that is not whole. Told now and then.
    case parts
    /// Bytes that wait in the lane, by and large.
    case holds(Int)
    case lost
}

/// A WebSocket that is a lane of a resumable session. Its loop, on which all of this is called, may be another than the
/// session's.
protocol SessionLane: AnyObject {
    func obey(_ order: LaneOrder)
    /// The session's answer to the lane's wish to join.
    func answered(_ answer: PollAnswer)
    /// True while no session uses the lane: it has brought no envelope, or it closes.
    var isUnused: Bool { get }
    /// Bytes that the lane has counted.
    var heldBytes: Int { get }
    /// Closes the lane, for the relief of memory, if no session uses it.
    ///
    /// - Returns: bytes that it held; 0 if it held fewer than `least`, or is in use, and nothing was done.
    func relieve(least: Int) -> Int
    /// Tells the session what the lane has counted, if the session uses the lane and knows another number.
    func tellHeld()
    /// Ends when what is under way is done.
    func goAway()
    /// Closes the connection without waiting for anything.
    func cut()
}

/// A lane as its session holds it, whose loop may be another.
struct LaneLink: Sendable {
    let lane: NIOLoopBound<any SessionLane>

    func send(_ order: LaneOrder) { self.onLoop { $0.obey(order) } }

    /// The session's answer to a lane that wants to join.
    func answer(_ answer: PollAnswer) { self.onLoop { $0.answered(answer) } }

    private func onLoop(_ body: @escaping @Sendable (any SessionLane) -> Void) {
        let lane = self.lane
        if lane.eventLoop.inEventLoop {
            body(lane.value)
        } else {
            lane.eventLoop.execute { body(lane.value) }
        }
    }
}

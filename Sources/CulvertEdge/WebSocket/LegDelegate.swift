import CulvertCore
import NIOCore

/// The events of a leg for its session. All calls are on the event loop that both share.
protocol LegDelegate: AnyObject {
    /// Checked bytes of data frames, and of an application's pings and pongs, to be forwarded as they came.
    func leg(_ leg: WebSocketLeg, forward bytes: ByteBuffer)
    func leg(_ leg: WebSocketLeg, message: PollMessage)
    func leg(_ leg: WebSocketLeg, close frame: CloseFrame)
    func leg(_ leg: WebSocketLeg, violation code: CloseCode, why: String)
    func legReadComplete(_ leg: WebSocketLeg)
    func legLost(_ leg: WebSocketLeg)
    func leg(_ leg: WebSocketLeg, isWritable: Bool)
    /// More or less waits to be written to the peer, by some KiB.
    func legQueueChanged(_ leg: WebSocketLeg)
    /// The leg that gets the bytes of this one; nil if the other side has no WebSocket.
    func other(than leg: WebSocketLeg) -> WebSocketLeg?
    /// Whether whole messages are wanted now; only asked of a leg that assembles.
    func legWantsMessages(_ leg: WebSocketLeg) -> Bool
    /// Whether the session closes, and what a leg brings goes nowhere; only asked of a leg that assembles.
    func legIsClosing(_ leg: WebSocketLeg) -> Bool
    /// Frames that may be taken now; only asked of a leg that assembles.
    func legRoom(_ leg: WebSocketLeg) -> Int
    /// A leg that assembles has taken this number of frames. If it has more, it waits until ``WebSocketLeg/takeMore()``
    /// is called in a later turn of the loop.
    func leg(_ leg: WebSocketLeg, took frames: Int, hasMore: Bool)
}

extension LegDelegate {
    func legRoom(_ leg: WebSocketLeg) -> Int { .max }

    func leg(_ leg: WebSocketLeg, took frames: Int, hasMore: Bool) {}

    func wantsBoundary(from leg: WebSocketLeg) -> Bool { self.other(than: leg)?.wantsBoundary ?? false }

    func waitsForMessageEnd(from leg: WebSocketLeg) -> Bool { self.other(than: leg)?.waitsForMessageEnd ?? false }

    func reachedBoundary(from leg: WebSocketLeg) { self.other(than: leg)?.flushWaiting() }
}

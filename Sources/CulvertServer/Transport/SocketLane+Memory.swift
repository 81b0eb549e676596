import CulvertCore
import NIOCore

/// What a lane holds, as a part of what all sessions and requests may hold together.
///
/// Short of memory, a lane that no session uses is closed before any session is: it has only joined, or it closes. A
/// lane in use is closed with its session, if that holds most, and the session knows what the lane holds.
extension SocketLane {
    private static let heldStep = 4 * 1024
    /// The session is told of this much more or less. The relief of memory has it told of the rest, so that a read
    /// costs no hop.
    private static let toldStep = 64 * 1024

    /// Counts what there is of an envelope, and what waits for the client.
    func noteHeld() {
        guard let context = self.context else { return }
        let held = self.heldNow
        let used = self.hold.set(held)
        if held / Self.toldStep != self.toldHeld / Self.toldStep { self.tellHeld() }
        guard let used, let ceiling = self.state.rules.config.limits.memory, used > ceiling else { return }
        if self.isClosing {
            context.channel.cut()
        } else if self.hasEnvelope {
            self.edge.relieveMemory()
        } else {
            self.close(Self.outOfMemory)
        }
    }

    var heldNow: Int {
        (self.assembler.heldCapacity + self.queuedBytes + self.keptBytes) / Self.heldStep * Self.heldStep
    }

    /// Tells the session what the lane has counted, if the session uses the lane and knows another number. Called for
    /// each lane of a loop when the relief of memory looks for the largest sessions.
    func tellHeld() {
        let held = self.hold.bytes
        guard self.hasEnvelope, held != self.toldHeld else { return }
        self.toldHeld = held
        self.tell(.holds(held))
    }

    /// True while the lane has brought no envelope, and from its Close on.
    var isUnused: Bool { !self.hasEnvelope || self.isClosing }

    /// Closes the lane, for the relief of memory, if no session uses it.
    ///
    /// - Returns: bytes that it held; 0 if it held fewer than `least`, or is in use, and nothing was done.
    func relieve(least: Int) -> Int {
        let held = self.hold.bytes
        guard self.isUnused, held >= least, held > 0 else { return 0 }
        if self.isClosing { self.cut() } else { self.close(Self.outOfMemory) }
        // The handlers of a connection that was cut are removed later.
        if self.context?.channel.isActive != true { self.hold.release() }
        return held
    }

    private static let outOfMemory = CloseFrame(code: .tryAgainLater, reason: "server out of memory")
}

import CulvertConfig
import CulvertCore
import NIOCore

/// The memory of a lane, as a part of the bytes that all sessions and requests may hold together.
///
/// Short of memory, a lane that no session uses is closed before any session is: it has only joined, or it closes. A
/// lane in use is closed with its session, if that holds most, and the session knows what the lane holds.
extension SocketLane {
    /// Counts what there is of an envelope, and what waits for the client.
    func noteHeld() {
        guard self.context != nil else { return }
        let used = self.memory.set(self.heldNow)
        if self.memory.isReportDue { self.tellHeld() }
        guard let used, let ceiling = self.state.rules.config.limits.memory, used > ceiling else { return }
        switch self.life.onShortage {
        case .relieve: self.edge.relieveMemory()
        case .act(let action): self.perform(action)
        }
    }

    var heldBytes: Int { self.memory.bytes }

    var heldNow: Int { self.input.heldCapacity + self.queuedBytes + self.keptBytes }

    /// Tells the session what the lane has counted, if the session uses the lane and knows another number. Called for
    /// each lane of a loop when the relief of memory looks for the largest sessions.
    func tellHeld() { if self.life.isInUse, let held = self.memory.takeReport() { self.tell(.holds(held)) } }

    var isUnused: Bool { self.life.isUnused }

    func relieve(least: Int) -> Int {
        let held = self.memory.bytes
        guard held >= least, held > 0, let relief = self.life.relief else { return 0 }
        self.perform(relief)
        // The handlers of a connection that was cut are removed later.
        if self.context?.channel.isActive != true { self.memory.release() }
        return held
    }
}

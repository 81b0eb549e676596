import CulvertConfig
import CulvertCore
import NIOCore

/// Counts what a session holds, in the sum that `limits.memory` bounds.
extension Session {
    /// Counts what the session holds now in place of what it held. Called when a window, a partly assembled message or
    /// a leg's writability has changed; never for a message that a pass-through session forwards.
    final func accountMemory() {
        let now = self.heldNow
        let change = now - self.holding.bytes
        guard change != 0 else { return }
        self.holding.bytes = now
        self.state.relief.holders.update(self)
        if self.holding.isRelieved { self.edge.memory.addLeaving(change) }
        let used = self.edge.memory.add(change)
        guard change > 0, !self.holding.isRelieved, let ceiling = self.state.rules.config.limits.memory,
            used > ceiling
        else { return }
        // Before the relief is asked for, which lets the session read on when it has looked again.
        self.holdBack()
        self.edge.relieveMemory()
    }

    /// The process holds more than it may, and this session grows: the peer that feeds it is not read for the moment.
    private func holdBack() {
        guard self.isOpen, !self.holding.isHeldBack else { return }
        self.state.relief.holdBack(self)
        self.pauseForMemory()
    }

    /// The relief of memory has looked again, or the session closes.
    final func readOn() {
        for leg in self.legs { leg.resume(.memoryFull) }
    }

    /// Bytes that are free once the session has ended: what it has counted, and what its lane has. 0 once the session
    /// was closed for memory.
    final var relievableBytes: Int { self.holding.isRelieved ? 0 : self.holding.bytes + self.heldByLane }

    /// The connections count until they are gone, whatever has become of the session.
    private var heldNow: Int {
        let queued = self.upstreamLeg.queuedBytes + self.upstreamLeg.keptBytes
        return queued + (self.isGone ? 0 : self.facts.heldBytes) + self.heldForClient
    }
}

import CulvertCore
import NIOCore

/// Counts what a session holds, in the sum that `limits.memory` bounds.
extension Session {
    /// How long a leg that was full may still stay, for its Close.
    private static let reliefTime = TimeAmount.milliseconds(500)

    /// Counts what the session holds now in place of what it held. Called when a window, a partly assembled message or
    /// a leg's writability has changed; never for a message that a native session forwards.
    func accountMemory() {
        let now = self.heldNow
        let change = now - self.held
        guard change != 0 else { return }
        self.held = now
        self.state.holders.update(self)
        if self.isRelieved { self.edge.memory.addLeaving(change) }
        let used = self.edge.memory.add(change)
        guard change > 0, !self.isRelieved, let ceiling = self.state.rules.config.limits.memory, used > ceiling else {
            return
        }
        // Before the relief is asked for, which lets the session read on when it has looked again.
        self.holdBack()
        self.edge.relieveMemory()
    }

    /// The process holds more than it may, and this session grows: the peer that feeds it is not read for the moment.
    private func holdBack() {
        guard self.isOpen, !self.isHeldBack else { return }
        self.isHeldBack = true
        self.state.heldBack.append(self)
        if self.isPolled || (self.clientLeg?.queuedBytes ?? 0) > 0 { self.upstreamLeg.pause(.memoryFull) }
        if self.upstreamLeg.queuedBytes > 0 { self.clientLeg?.pause(.memoryFull) }
    }

    /// The relief of memory has looked again, or the session closes.
    func readOn() {
        self.clientLeg?.resume(.memoryFull)
        self.upstreamLeg.resume(.memoryFull)
    }

    /// Bytes that are free once the session has ended: what it has counted, and what its lane has. 0 once the session
    /// was closed for memory.
    var relievableBytes: Int { self.isRelieved ? 0 : self.held + self.laneHeld }

    private var heldNow: Int {
        // The connections count until they are gone, whatever has become of the session.
        let queued =
            self.upstreamLeg.queuedBytes + (self.clientLeg?.queuedBytes ?? 0)
            + self.upstreamLeg.keptBytes + (self.clientLeg?.keptBytes ?? 0)
            + (self.isGone ? 0 : self.facts.heldBytes)
        guard self.isPolled, !self.isBuried else { return queued }
        let callers = (self.lane?.caller.heldBytes ?? 0) + (self.joiningLane?.caller.heldBytes ?? 0)
        let window = self.machine.heldBytes + queued + callers
        return self.isEnded
            ? window
            : window + self.forwarding.heldBytes + (self.lane?.pendingBytes ?? 0) + self.upstreamLeg.assembledBytes
    }

    /// Ends the session for what it holds. A polled client's messages are dropped at once, and so is a leg whose peer
    /// takes nothing. What another leg holds counts until its connection is gone, as bytes that are about to go
    /// (``SessionMemory/leaving``).
    ///
    /// - Returns: bytes that it held.
    func relieve() -> Int {
        let freed = self.relievableBytes
        guard !self.isRelieved, freed > 0 else { return 0 }
        self.isRelieved = true
        self.edge.memory.addLeaving(self.held)
        self.state.holders.update(self)
        let wasEnded = self.isEnded
        self.answer?.cut()
        let frame = CloseFrame(code: .tryAgainLater, reason: "server out of memory")
        if self.isPolled {
            self.hasClientClosed = true
            self.machine.forfeit(frame)
            self.dropForwarding(.problem(.gone(frame)))
            self.answerParked(.problem(.gone(frame)))
            self.releaseLanes(frame)
        }
        self.dismiss(frame, upstreamReason: frame.reason)
        if wasEnded {
            // The rest waits for a peer that takes nothing.
            self.clientLeg?.cut()
            self.upstreamLeg.cut()
        }
        if self.isPolled { self.resumeUpstream() }
        self.abandonStuckLegs()
        // The Close would wait behind all that the peer does not take.
        for leg in [self.clientLeg, self.upstreamLeg] {
            if let leg, !leg.isLost, !leg.isWritable { leg.cut() }
        }
        if !self.isEnded {
            self.closingDeadline = min(self.closingDeadline ?? .distantFuture, .now() + Self.reliefTime)
            self.arm()
        }
        self.accountMemory()
        self.buryIfDone()
        return freed
    }
}

extension WebSocketLeg {
    /// Closes the connection's descriptor now, whatever is unwritten, and without TLS's own close handshake.
    fileprivate func cut() {
        self.abort()
        self.context?.channel.cut()
    }
}

import CulvertCore
import NIOCore

/// Ends a session for the memory that it holds. Each call is on the session's loop.
struct SessionRelief {
    /// The longest time that the close handshakes may still take.
    private static let time = TimeAmount.milliseconds(500)

    let session: Session

    /// Ends the session for its memory. The messages for a polled client are dropped at once, and a leg whose peer
    /// takes nothing is cut at once. The bytes of another leg count until its connection is gone, as bytes that are
    /// about to go (``SessionMemory/leaving``).
    ///
    /// - Returns: the bytes that the session held; 0 if the relief has ended it before.
    func relieve() -> Int {
        let freed = self.session.relievableBytes
        guard !self.session.holding.isRelieved, freed > 0 else { return 0 }
        self.session.holding.isRelieved = true
        self.session.edge.memory.addLeaving(self.session.holding.bytes)
        self.session.state.relief.holders.update(self.session)
        let wasEnded = self.session.isEnded
        let frame = CloseFrame(code: .tryAgainLater, reason: "server out of memory")
        self.session.forfeit(frame)
        self.session.dismiss(frame, upstreamReason: frame.reason)
        // If the session has ended already, its legs only wait for peers that take nothing.
        if wasEnded { for leg in self.session.legs { leg.cut() } }
        self.session.abandonStuckLegs()
        // The Close would wait behind the bytes that the peer does not take.
        for leg in self.session.legs where !leg.isLost && !leg.isWritable { leg.cut() }
        self.session.life.hasten(Self.time, now: self.session.now)
        self.session.settle()
        self.session.arm()
        self.session.accountMemory()
        return freed
    }
}

extension WebSocketLeg {
    /// Closes the connection's descriptor now, without the unwritten bytes and without TLS's own close handshake.
    fileprivate func cut() {
        self.abort()
        self.context?.channel.cut()
    }
}

import CulvertCore
import NIOCore

/// The session of a native WebSocket: forwards the bytes of each leg to the other as they came. The session ends with
/// either connection.
final class PassThroughSession: Session, LegDelegate {
    /// The most bytes of an unfinished frame that a side that takes nothing is still sent, as many as its queue holds.
    private static let mostToStuckLeg = 512 * 1024
    /// The least time for a peer's last bytes, for a close handshake that ends just before its deadline.
    private static let leastTimeToClose = TimeAmount.milliseconds(500)

    let clientLeg: WebSocketLeg

    init(
        facts: SessionFacts, credential: Credential?, edge: EdgeContext, state: LoopState, clientLeg: WebSocketLeg,
        upstreamLeg: WebSocketLeg, lease: ServerLease, place: SessionPlace
    ) {
        self.clientLeg = clientLeg
        super.init(
            facts: facts, credential: credential, edge: edge, state: state, upstreamLeg: upstreamLeg, lease: lease,
            place: place, transport: .webSocket)
    }

    override var legs: [WebSocketLeg] { [self.clientLeg, self.upstreamLeg] }

    override var counts: SessionCounts {
        let (client, upstream) = (self.clientLeg.scanner, self.upstreamLeg.scanner)
        return SessionCounts(
            messagesIn: client.messages, bytesIn: client.payloadBytes, messagesOut: upstream.messages,
            bytesOut: upstream.payloadBytes)
    }

    override var heldForClient: Int { self.clientLeg.queuedBytes + self.clientLeg.keptBytes }

    override func startLegs() {
        self.upstreamLeg.start(delegate: self)
        self.clientLeg.start(delegate: self)
    }

    private func peer(of leg: WebSocketLeg) -> WebSocketLeg {
        leg === self.upstreamLeg ? self.clientLeg : self.upstreamLeg
    }

    // MARK: - LegDelegate

    func other(than leg: WebSocketLeg) -> WebSocketLeg? { self.peer(of: leg) }

    func leg(_ leg: WebSocketLeg, forward bytes: ByteBuffer) {
        let other = self.peer(of: leg)
        // A Close that waits for the end of the frame counts as sent, but the frame still has to end.
        if self.life.closing.maySend(to: other.sender) || other.wantsBoundary {
            other.write(bytes)
        } else {
            leg.noteDropped(bytes.readableBytes)
        }
        if leg.sender == .client, let rate = self.messageRate { self.throttle(rate: rate) }
    }

    func leg(_ leg: WebSocketLeg, close frame: CloseFrame) {
        leg.turnDeaf()
        self.giveUpMessage(of: leg)
        self.negotiate(.close(from: leg.sender, frame))
    }

    func leg(_ leg: WebSocketLeg, violation code: CloseCode, why: String) {
        leg.turnDeaf()
        self.giveUpFrame(of: leg)
        self.negotiate(.breach(of: leg.scanner, code: code, why: why))
    }

    func legReadComplete(_ leg: WebSocketLeg) {
        if leg.sender == .client {
            self.life.keepalives.client.hear()
        } else {
            self.life.keepalives.upstream.hear()
        }
        self.peer(of: leg).flush()
        if leg.hasNewControls { self.noteControls(of: leg) }
        if self.state.rules.hasSessionRates { self.charge(leg) }
        if case .leaving(let frame, _) = self.life.state, !self.isAmidMessage { self.shutdown(frame) }
    }

    func legLost(_ leg: WebSocketLeg) {
        self.giveUpFrame(of: leg)
        self.negotiate(.lost(leg.sender))
        // A lost side holds up nothing any more: the other side is read on until its Close.
        self.peer(of: leg).resume(.peerNotWritable)
        self.accountMemory()
        self.releaseIfGone()
    }

    func leg(_ leg: WebSocketLeg, isWritable: Bool) {
        self.noteWritability(of: leg, isWritable: isWritable)
        let other = self.peer(of: leg)
        if isWritable { other.resume(.peerNotWritable) } else { other.pause(.peerNotWritable) }
    }

    func legQueueChanged(_ leg: WebSocketLeg) { self.accountMemory() }

    // The legs of this kind do not assemble messages.
    func leg(_ leg: WebSocketLeg, message: PollMessage) {}
    func legWantsMessages(_ leg: WebSocketLeg) -> Bool { true }
    func legIsClosing(_ leg: WebSocketLeg) -> Bool { !self.isOpen }

    // MARK: - closing

    private var isAmidMessage: Bool {
        !self.clientLeg.scanner.isBetweenMessages || !self.upstreamLeg.scanner.isBetweenMessages
    }

    override func shutdown(_ frame: CloseFrame, patience: TimeAmount = .zero) {
        let verdict = self.life.shutdown(
            frame, patience: patience, isAmidMessage: self.isAmidMessage, time: self.state.rules.closeTimeout,
            now: self.now)
        switch verdict {
        case .wait: self.arm()
        case .close(let actions): self.obey(actions)
        }
    }

    override func negotiate(_ event: CloseNegotiation.Event) {
        self.obey(self.life.handle(event, time: self.state.rules.closeTimeout, now: self.now))
    }

    private func obey(_ actions: CloseNegotiation.Actions) {
        if actions.began { self.liftPauses() }
        if let frame = actions.toUpstream { self.say(frame, to: self.upstreamLeg, behind: self.clientLeg) }
        if let frame = actions.toClient { self.say(frame, to: self.clientLeg, behind: self.upstreamLeg) }
        if actions.cutClient { self.close(self.clientLeg) }
        if actions.cutUpstream { self.close(self.upstreamLeg) }
        if actions.ended { self.end() }
    }

    private func say(_ frame: CloseFrame, to leg: WebSocketLeg, behind source: WebSocketLeg) {
        let mayEnd = self.life.closing.mayReceive(from: source.sender)
        if !source.scanner.isAtFrameBoundary, !mayEnd {
            // The rest of a frame will never come, and within a frame a Close would be read as its payload.
            leg.closeAmidFrame()
            return
        }
        // A message whose sender is closing does not end.
        leg.say(
            .close(frame, to: leg.sender), behind: source.scanner,
            betweenMessages: self.life.waitsForMessageEnd && mayEnd)
    }

    private func close(_ leg: WebSocketLeg) {
        // `leg` brought bytes that are written but not flushed. Its read ends here, and may never be reported complete.
        self.peer(of: leg).flush()
        // A peer sends nothing after its Close, but a peer that broke the protocol may send anything, and our own Close
        // may still wait for the end of a frame.
        if leg.sender == self.life.violator || leg.wantsBoundary {
            leg.closeLingering()
        } else {
            let time = self.state.rules.closeTimeout
            leg.close(within: self.life.timeToClose(least: Self.leastTimeToClose, time: time, now: self.now))
        }
    }

    private func end() {
        guard self.life.end() else { return }
        self.stopTimer()
        self.hasJustEnded()
    }

    override func cut() {
        if !self.isEnded {
            // A Close that waits for the end of a message can still be sent at the end of a frame.
            for leg in self.legs where leg.scanner.isAtFrameBoundary { self.giveUpMessage(of: leg) }
            let actions = self.life.handle(.deadline, time: .zero, now: self.now)
            if actions.cutClient { self.clientLeg.abort() }
            if actions.cutUpstream { self.upstreamLeg.abort() }
            if actions.ended { self.end() }
            return
        }
        for leg in self.legs { leg.abort() }
    }

    /// `leg` brings no more. If it stopped within a frame, frames of ours that wait for the frame's end never go out,
    /// and the other leg is closed there.
    private func giveUpFrame(of leg: WebSocketLeg) {
        guard leg.scanner.isAtFrameBoundary else {
            let other = self.peer(of: leg)
            if other.wantsBoundary { other.closeAmidFrame() }
            return
        }
        self.giveUpMessage(of: leg)
    }

    /// `leg` is at the end of a frame, and its message does not end. Sends the frames of ours that wait for that.
    private func giveUpMessage(of leg: WebSocketLeg) {
        let other = self.peer(of: leg)
        guard other.wantsBoundary else { return }
        other.flushWaiting()
        other.flush()
    }

    // MARK: - limits

    /// Counts the messages, pings, pongs and empty fragments that the client has sent, and stops reading while its
    /// token is over its rate. No message is dropped: the client's own sending blocks.
    private func throttle(rate: Int) {
        guard let use = self.credential?.entry.use else { return }
        let leg = self.clientLeg
        let now = self.now
        let new = self.life.limits.takeTokenMessages(leg.scanner.messages &+ leg.controls.charged)
        use.take(Int(clamping: new), rate: rate, now: now)
        let wait = use.wait(now: now)
        guard wait > .zero, self.life.limits.pauseForToken(until: now + wait) else { return }
        leg.pause(.rateLimited)
        self.arm()
    }

    override func tokenRateIsKept() { self.clientLeg.resume(.rateLimited) }

    override func rateIsKept(by side: Endpoint) {
        if side == .client { self.clientLeg.resume(.sessionRate) } else { self.upstreamLeg.resume(.sessionRate) }
    }

    /// Tells keepalive of the pings and pongs that a read of `leg` has brought. They are forwarded.
    private func noteControls(of leg: WebSocketLeg) {
        let new = leg.takeControls()
        if new.pings > 0 { self.life.keepalives.pingPassed(from: leg.sender) }
        if new.pongs > 0 { self.life.keepalives.pongCame(from: leg.sender) }
        if self.isOpen { self.charge(new, of: leg) }
    }

    override func keepAlive() {
        let ticks = self.life.keepalives.tick(client: self.clientLeg.standing, upstream: self.upstreamLeg.standing)
        ticks.client.act(on: self.clientLeg, behind: self.upstreamLeg, self.life.closing)
        self.clientLeg.look()
        ticks.upstream.act(on: self.upstreamLeg, behind: self.clientLeg, self.life.closing)
        self.upstreamLeg.look()
    }

    override func pauseForMemory() {
        if self.clientLeg.queuedBytes > 0 { self.upstreamLeg.pause(.memoryFull) }
        if self.upstreamLeg.queuedBytes > 0 { self.clientLeg.pause(.memoryFull) }
    }

    /// The session closes while a side takes nothing. The other side is read again, for its own Close. If the rest of
    /// its frame is not too long, the slow side still gets the rest, and then its Close.
    override func abandonStuckLegs() {
        for leg in self.legs { self.abandon(leg, behind: self.peer(of: leg)) }
        for leg in self.legs { leg.resume(.peerNotWritable) }
    }

    private func abandon(_ leg: WebSocketLeg, behind source: WebSocketLeg) {
        guard !leg.isWritable, leg.wantsBoundary else { return }
        if source.scanner.isAtFrameBoundary {
            self.giveUpMessage(of: source)
        } else if source.scanner.remaining > Self.mostToStuckLeg {
            leg.abort()
        }
    }
}

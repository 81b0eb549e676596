import CulvertCore
import NIOCore

/// What a session keeps for its limits: rates, idle, lifetime, stall. What they are is looked up when they are needed,
/// so that a reload holds for the sessions there are.
struct SessionLimitState {
    var fromClient: SessionRate
    var toClient: SessionRate
    /// The client is not read until then, since its messages came too fast.
    var clientPause: NIODeadline?
    /// Likewise the upstream.
    var upstreamPause: NIODeadline?
    /// The client is not read until then, since its pings and pongs came too fast.
    var clientControlPause: NIODeadline?
    /// Likewise the upstream.
    var upstreamControlPause: NIODeadline?
    /// Pings, pongs and empty fragments of a polled session's client, on all its lanes.
    var laneControls = ControlCount()
    /// Messages of large batches of which nothing was taken.
    var messagesInVain: UInt64 = 0
    /// Grows while an envelope is on its way on the lane in use.
    var laneParts: UInt64 = 0
    var idle: IdleWatch
    var nextLook: NIODeadline?
    /// Since when the client takes nothing more, its leg's queue or its window being full.
    var clientStall: NIODeadline?
    /// Since when the upstream's leg has a full queue.
    var upstreamStall: NIODeadline?

    init(_ limits: SessionLimits, now: NIODeadline) {
        self.fromClient = SessionRate(isLimited: limits.fromClient != nil, now: now)
        self.toClient = SessionRate(isLimited: limits.toClient != nil, now: now)
        self.idle = IdleWatch(now: now)
    }
}

/// What an open session may do.
extension Session {
    /// Bytes of a frame that are still written to a side that takes nothing: as much as its queue holds at most.
    private static let mostToStuckLeg = 512 * 1024

    private var configured: SessionLimits { self.state.rules.config.limits.session }

    /// Nothing but its own time ends the session; a reload's limits are seen within a period of `session.ping`.
    func watch(now: NIODeadline) {
        guard self.isOpen else { return }
        if self.configured.fromClient == nil { self.limits.fromClient.suspend() }
        if self.configured.toClient == nil { self.limits.toClient.suspend() }
        self.lookForIdleness(now: now)
    }

    // MARK: - rates

    /// Charges what a read of `leg` has brought, where there is a limit for it.
    func charge(_ leg: WebSocketLeg) {
        guard self.isOpen else { return }
        let now = NIODeadline.now()
        let counts = self.counts
        // Pings, pongs and empty fragments are messages here: they cost as much.
        let controls = leg.controls
        let frames = controls.charged
        if leg.sender == .client {
            guard let limit = self.configured.fromClient else { return }
            let verdict = self.limits.fromClient.charge(
                messages: counts.messagesIn &+ frames, bytes: counts.bytesIn &+ controls.bytes, limit: limit, now: now)
            self.obey(verdict, limit, leg, now: now)
        } else {
            guard let limit = self.configured.toClient else { return }
            let verdict = self.limits.toClient.charge(
                messages: counts.messagesOut &+ frames, bytes: counts.bytesOut &+ controls.bytes, limit: limit,
                now: now)
            self.obey(verdict, limit, leg, now: now)
        }
    }

    private func obey(
        _ verdict: SessionRate.Verdict, _ limit: SessionRateLimit, _ leg: WebSocketLeg, now: NIODeadline
    ) {
        guard let wait = verdict.wait else { return }
        guard limit.excess == .pause else {
            self.dismiss(CloseFrame(code: .policyViolation, reason: verdict.reason), upstreamReason: verdict.reason)
            return
        }
        leg.pause(.sessionRate)
        if leg.sender == .client {
            self.limits.clientPause = now + wait
        } else {
            self.limits.upstreamPause = now + wait
        }
        self.arm()
    }

    /// How long a polled client is to wait before it sends more; nil when it may now.
    func waitToSend() -> TimeAmount? {
        guard let limit = self.configured.fromClient, limit.excess == .pause else { return nil }
        return self.limits.fromClient.look(limit: limit, now: .now()).wait
    }

    /// Charges what a client has sent in batches, and the pings, pongs and empty fragments of its lanes.
    ///
    /// - Returns: how long it should be left unread.
    func chargePosted() -> TimeAmount? {
        guard self.isOpen, let limit = self.configured.fromClient else { return nil }
        let controls = self.limits.laneControls
        let verdict = self.limits.fromClient.charge(
            messages: self.polledCounts.messagesIn &+ controls.charged &+ self.limits.messagesInVain,
            bytes: self.polledCounts.bytesIn &+ controls.bytes, limit: limit, now: .now())
        guard verdict != .within else { return nil }
        guard limit.excess == .close else { return verdict.wait }
        self.dismiss(CloseFrame(code: .policyViolation, reason: verdict.reason), upstreamReason: verdict.reason)
        return nil
    }

    /// Charges a batch of very many messages that were taken apart for nothing: they begin too late, or came before. A
    /// client may have to repeat a batch, so that this never closes a session.
    func chargeInVain(_ batch: PollBatch) {
        let count = batch.messages.count
        guard count > LoopSlices.fewMessages else { return }
        if let rate = self.messageRate { self.credential?.entry.use.take(count, rate: rate, now: .now()) }
        guard self.configured.fromClient?.excess == .pause else { return }
        self.limits.messagesInVain &+= UInt64(count)
        _ = self.chargePosted()
    }

    private func endPauses(now: NIODeadline) {
        self.endControlPauses(now: now)
        if let pause = self.limits.clientPause, pause <= now {
            self.limits.clientPause = nil
            self.clientLeg?.resume(.sessionRate)
            self.readLane()
        }
        if let pause = self.limits.upstreamPause, pause <= now {
            self.limits.upstreamPause = nil
            self.resumeUpstream()
            self.deliverReady()
            // What was held back may have been too much again.
            if self.limits.upstreamPause == nil { self.upstreamLeg.resume(.sessionRate) }
        }
    }

    /// The session closes: what keeps an answer to a Close from being read has no purpose any more, and what comes in
    /// front of it goes nowhere.
    func liftPauses() {
        self.limits.clientPause = nil
        self.limits.upstreamPause = nil
        self.liftControlPauses()
        self.readLane()
        self.clientLeg?.resume(.sessionRate)
        self.upstreamLeg.resume(.sessionRate)
        self.readOn()
    }

    // MARK: - idle

    private var idleLimit: TimeAmount? {
        let own = self.state.rules.config.upstreams[self.facts.route.upstream]?.idleTimeout
        guard let own, let idle = self.configured.idle else { return own ?? self.configured.idle }
        return min(own, idle)
    }

    func lookForIdleness(now: NIODeadline) {
        guard let limit = self.idleLimit else {
            self.limits.nextLook = nil
            return
        }
        // A peer that is not read may have sent any number of messages.
        if self.limits.clientPause != nil || self.limits.upstreamPause != nil { self.limits.idle.touch(now: now) }
        let counts = self.counts
        var count = counts.messagesIn &+ counts.messagesOut &+ counts.bytesIn &+ counts.bytesOut
        // A polled session's counts are of whole messages. Parts of a long message are no silence either.
        count &+= self.upstreamLeg.assembledPayload &+ self.limits.laneParts
        switch self.limits.idle.look(count: count, limit: limit, now: now) {
        case .lookAgain(let deadline): self.limits.nextLook = deadline
        case .idle:
            self.limits.nextLook = nil
            self.dismiss(CloseFrame(code: .goingAway, reason: "idle"), upstreamReason: "idle")
        }
    }

    // MARK: - stall

    /// `leg` takes more, or no more.
    func noteWritability(of leg: WebSocketLeg, isWritable: Bool) {
        let since = isWritable ? nil : NIODeadline.now()
        if leg.sender == .client { self.limits.clientStall = since } else { self.limits.upstreamStall = since }
        self.accountMemory()
        if !isWritable { self.arm() }
    }

    /// The same of a polled client, whose window is what it takes from.
    func noteWindow() {
        guard self.machine.isSendWindowFull else {
            self.limits.clientStall = nil
            return
        }
        if self.limits.clientStall == nil {
            self.limits.clientStall = .now()
            self.arm()
        }
    }

    private func endStalled(_ side: Endpoint) {
        let reason = side == .client ? "client too slow" : "upstream too slow"
        self.limits.clientStall = nil
        self.limits.upstreamStall = nil
        self.dismiss(CloseFrame(code: .tryAgainLater, reason: reason), upstreamReason: reason)
        self.abandonStuckLegs()
    }

    /// The session closes. The other side was not read for the slow one's sake, and now is for its own Close; what is
    /// left of its frame still goes to the slow one, in front of the Close that it may yet read, if that is not much.
    func abandonStuckLegs() {
        if let client = self.clientLeg {
            self.abandon(client, behind: self.upstreamLeg)
            self.abandon(self.upstreamLeg, behind: client)
            client.resume(.peerNotWritable)
        }
        self.upstreamLeg.resume(.peerNotWritable)
    }

    private func abandon(_ leg: WebSocketLeg, behind source: WebSocketLeg) {
        guard !leg.isWritable, leg.wantsBoundary else { return }
        if source.scanner.isAtFrameBoundary {
            self.giveUpMessage(of: source)
        } else if source.scanner.remaining > Self.mostToStuckLeg {
            leg.abort()
        }
    }

    // MARK: - time

    /// When the first of the limits is to be looked at.
    var limitDeadline: NIODeadline {
        guard self.isOpen else { return .distantFuture }
        var earliest = NIODeadline.distantFuture
        if let pause = self.limits.clientPause { earliest = min(earliest, pause) }
        if let pause = self.limits.upstreamPause { earliest = min(earliest, pause) }
        if let pause = self.limits.clientControlPause { earliest = min(earliest, pause) }
        if let pause = self.limits.upstreamControlPause { earliest = min(earliest, pause) }
        if let look = self.limits.nextLook { earliest = min(earliest, look) }
        if let lifetime = self.configured.lifetime { earliest = min(earliest, self.openedAt + lifetime) }
        if let stall = self.state.rules.config.session.stall {
            if let since = self.limits.clientStall { earliest = min(earliest, since + stall) }
            if let since = self.limits.upstreamStall { earliest = min(earliest, since + stall) }
        }
        return earliest
    }

    func limitTimerFired(now: NIODeadline) {
        guard self.isOpen else { return }
        self.endPauses(now: now)
        if let look = self.limits.nextLook, look <= now { self.lookForIdleness(now: now) }
        if let lifetime = self.configured.lifetime, self.openedAt + lifetime <= now {
            self.dismiss(CloseFrame(code: .goingAway, reason: "lifetime over"), upstreamReason: "lifetime over")
        }
        guard self.isOpen, let stall = self.state.rules.config.session.stall else { return }
        if let since = self.limits.clientStall, since + stall <= now {
            self.endStalled(.client)
        } else if let since = self.limits.upstreamStall, since + stall <= now {
            self.endStalled(.server)
        }
    }
}

import CulvertCore
import NIOCore

/// What a session is opened with.
struct SessionFacts {
    var id: SessionID
    var route: Route
    var clientAddress: String
    var basePath: String
    /// Of the request that opened it: what a reload looks at again.
    var host: String?
    var origins: [String]
    /// The `User-Agent` of the opening, cleaned and cut.
    var userAgent: String?
    var jwtRules: JWTClaimRules?
}

/// A poll that waits for messages.
struct ParkedPoll {
    /// Tells its request from every other.
    let ticket: UInt64
    var caller: Caller
    let respond: (PollAnswer) -> Void
}

/// One client, however attached, and its upstream: drives the state machine with what the legs and polls bring.
///
/// Bound to the event loop of both legs. A native WebSocket is a session whose client lane is a leg; a polled one has
/// requests for lanes and windows in the machine.
final class Session: LegDelegate {
    /// For a Close handshake that was over at the last moment.
    private static let leastTimeToClose = TimeAmount.milliseconds(500)

    var facts: SessionFacts
    let edge: EdgeContext
    let state: LoopState
    let clientLeg: WebSocketLeg?
    let upstreamLeg: WebSocketLeg
    let lease: ServerLease
    let place: SessionPlace
    var machine: SessionStateMachine
    /// What the client has shown last; nil where the route asks for none.
    var credential: Credential?
    /// When the credential dies by itself.
    var credentialDeadline: NIODeadline?
    /// When the first token dies that a caller has and the session has not.
    var callerDeadline: NIODeadline?
    var isExpelled = false
    /// The client is not read until then: its token's messages came too fast.
    var rateDeadline: NIODeadline?
    var messagesCounted: UInt64 = 0
    let openedAt = NIODeadline.now()
    let openedAtUnix = Clock.unixSeconds()
    /// Both close handshakes are over. Connections may still be there, until what is written is out.
    private(set) var isEnded = false
    /// It has ended, and the descriptors of its connections are closed: nothing of it counts any more.
    private(set) var isGone = false

    /// The WebSockets that are its lanes: the one in use, and one that has joined.
    var lane: AttachedLane?
    var joiningLane: AttachedLane?
    /// Bytes that the lane in use holds, by and large. The lane counts them itself.
    var laneHeld = 0 {
        didSet { if self.laneHeld != oldValue { self.state.holders.update(self) } }
    }
    /// When what the client has sent is acknowledged, with or without a message to go with it.
    var acknowledgeDeadline: NIODeadline?
    /// False until somebody is known to know of the session.
    var isConfirmed = true
    /// How the client came last.
    var transport: Transport

    /// The poll that waits for messages.
    var parked: ParkedPoll? {
        didSet {
            if oldValue == nil, self.parked != nil { self.edge.admissions.parked() }
            if oldValue != nil, self.parked == nil { self.edge.admissions.unparked() }
        }
    }
    /// The batch that a GET was answered with last. Whether it is still being written, the hold tells.
    weak var answer: AnswerHold?
    var pollTurn = PollTurn()
    /// A polled client has said Close: its requests are answered 410 from then on.
    var hasClientClosed = false
    /// Forgotten but for a tombstone.
    var isBuried = false
    /// Of a polled session; a native one's are with its legs.
    var polledCounts = Counts()

    /// Messages and bytes of payload, in from the client and out to it.
    struct Counts {
        var messagesIn: UInt64 = 0
        var bytesIn: UInt64 = 0
        var messagesOut: UInt64 = 0
        var bytesOut: UInt64 = 0
    }

    var forwarding = ForwardQueue()
    var limits: SessionLimitState
    /// Bytes counted in ``SessionMemory``.
    var held = 0
    /// The session's place in its loop's ``HolderIndex``.
    var holderPlace: HolderIndex.Place?
    /// Ended for what it held, which is free now.
    var isRelieved = false
    /// It is in ``LoopState/heldBack``.
    var isHeldBack = false

    var closingDeadline: NIODeadline?
    /// A Close of ours waits for the end of the message that is passing.
    private var waitsForMessageEnd = false
    private var pendingShutdown: (frame: CloseFrame, deadline: NIODeadline)?
    /// Whose peer broke the protocol.
    private weak var violator: WebSocketLeg?
    private var nextTick: NIODeadline
    private var timer: LoopTimers.Timer?
    private var timerDeadline = NIODeadline.distantFuture

    var id: SessionID { self.facts.id }
    var subject: String? { self.credential?.token.subject }
    var basePath: String { self.facts.basePath }
    var isPolled: Bool { self.clientLeg == nil }

    var counts: Counts {
        guard let scanner = self.clientLeg?.scanner else { return self.polledCounts }
        return Counts(
            messagesIn: scanner.messages, bytesIn: scanner.payloadBytes,
            messagesOut: self.upstreamLeg.scanner.messages, bytesOut: self.upstreamLeg.scanner.payloadBytes)
    }

    init(
        facts: SessionFacts, credential: Credential?, edge: EdgeContext, state: LoopState, clientLeg: WebSocketLeg?,
        upstreamLeg: WebSocketLeg, lease: ServerLease, place: SessionPlace
    ) {
        self.facts = facts
        self.credential = credential
        self.edge = edge
        self.state = state
        self.clientLeg = clientLeg
        self.upstreamLeg = upstreamLeg
        self.lease = lease
        self.place = place
        self.transport = clientLeg == nil ? .longPoll : .webSocket
        let now = NIODeadline.now()
        self.machine = SessionStateMachine(settings: state.rules.settings, isResumable: clientLeg == nil, now: now)
        self.nextTick = now + state.rules.settings.ping
        self.limits = SessionLimitState(state.rules.config.limits.session, now: now)
    }

    func start() {
        self.state.add(self)
        self.edge.log.opened(self)
        self.accountMemory()
        self.lookForIdleness(now: self.openedAt)
        self.arm()
        // The configuration may have changed, the token died or the server been taken down since the client was
        // answered. No message passes before this check.
        let jwtRules = self.state.rules.config.authentication.jwt?.rules
        self.adopt(self.state.rules, haveJWTRulesChanged: self.facts.jwtRules != jwtRules)
        if self.lease.server.state == .down {
            self.dismiss(EdgeUpstreams.takenDown, upstreamReason: EdgeUpstreams.takenDown.reason)
        }
        self.upstreamLeg.start(delegate: self)
        self.clientLeg?.start(delegate: self)
    }

    /// Between two messages: each side's Close comes behind the message that is on its way there. With `patience` it is
    /// also waited for a moment in which nothing is on its way in either direction, since who reads a Close may leave
    /// its own message unfinished.
    func shutdown(_ frame: CloseFrame, patience: TimeAmount = .zero) {
        if patience > .zero, self.isAmidMessage {
            self.pendingShutdown = (frame, .now() + patience)
            self.arm()
            return
        }
        self.pendingShutdown = nil
        self.flushForwarding()
        self.waitsForMessageEnd = true
        self.apply(self.machine.close(.shutdown(frame)))
    }

    private var isAmidMessage: Bool {
        guard let client = self.clientLeg else { return false }
        return !client.scanner.isBetweenMessages || !self.upstreamLeg.scanner.isBetweenMessages
    }

    /// Without a word.
    func cut() {
        self.closingDeadline = nil
        if self.isEnded {
            self.clientLeg?.abort()
            self.upstreamLeg.abort()
            return
        }
        // A Close that waits for the end of a message can still be said at the end of a frame.
        for leg in [self.clientLeg, self.upstreamLeg] {
            if let leg, leg.scanner.isAtFrameBoundary { self.giveUpMessage(of: leg) }
        }
        let actions = self.machine.close(.deadline)
        if actions.cutClient { self.clientLeg?.abort() }
        if actions.cutUpstream { self.upstreamLeg.abort() }
        if actions.ended { self.end() }
    }

    // MARK: - LegDelegate

    func other(than leg: WebSocketLeg) -> WebSocketLeg? {
        leg === self.upstreamLeg ? self.clientLeg : self.upstreamLeg
    }

    func leg(_ leg: WebSocketLeg, forward bytes: ByteBuffer) {
        guard let other = self.other(than: leg) else { return }
        // A Close that waits for the end of the frame has been counted as sent, but the frame is still to be ended.
        if self.machine.closing.maySend(to: other.sender) || other.wantsBoundary {
            other.write(bytes)
        } else {
            leg.noteDropped(bytes.readableBytes)
        }
        if leg.sender == .client, let rate = self.messageRate { self.throttle(leg, rate: rate) }
    }

    func leg(_ leg: WebSocketLeg, message: PollMessage) {
        self.polledCounts.messagesOut += 1
        self.polledCounts.bytesOut += UInt64(message.payload.readableBytes)
        guard self.machine.finalFrame == nil else {
            // Its bytes count with their read.
            leg.noteDropped(SendWindow.overhead)
            return
        }
        self.machine.enqueue(message)
        if self.machine.isSendWindowFull {
            leg.pause(.windowFull)
            self.noteWindow()
        }
    }

    func leg(_ leg: WebSocketLeg, close frame: CloseFrame) {
        leg.turnDeaf()
        self.giveUpMessage(of: leg)
        self.apply(self.machine.close(.close(from: leg.sender, frame)))
    }

    func leg(_ leg: WebSocketLeg, violation code: CloseCode, why: String) {
        leg.turnDeaf()
        self.violator = leg
        self.giveUpFrame(of: leg)
        self.apply(self.machine.close(.breach(of: leg.scanner, code: code, why: why)))
    }

    /// `leg` brings no more. What waits for the end of its frame waits in vain.
    private func giveUpFrame(of leg: WebSocketLeg) {
        guard leg.scanner.isAtFrameBoundary else {
            if let other = self.other(than: leg), other.wantsBoundary { other.closeAmidFrame() }
            return
        }
        self.giveUpMessage(of: leg)
    }

    /// At a frame's end: the message that a Close of ours waits for will not be ended.
    func giveUpMessage(of leg: WebSocketLeg) {
        guard let other = self.other(than: leg), other.wantsBoundary else { return }
        other.flushWaiting()
        other.flush()
    }

    func legReadComplete(_ leg: WebSocketLeg) {
        if leg.sender == .client {
            self.machine.clientKeepalive.hear()
        } else {
            self.machine.upstreamKeepalive.hear()
        }
        if let other = self.other(than: leg) {
            other.flush()
        } else {
            self.deliverReady()
            self.accountMemory()
        }
        if leg.hasNewControls { self.noteControls(of: leg) }
        if self.state.rules.hasSessionRates { self.charge(leg) }
        if let pending = self.pendingShutdown, !self.isAmidMessage { self.shutdown(pending.frame) }
    }

    func legLost(_ leg: WebSocketLeg) {
        self.giveUpFrame(of: leg)
        self.apply(self.machine.close(.lost(leg.sender)))
        // Nobody is to be spared any more: read on, for the other side's Close.
        self.other(than: leg)?.resume(.peerNotWritable)
        self.accountMemory()
        self.releaseIfGone()
    }

    func leg(_ leg: WebSocketLeg, isWritable: Bool) {
        self.noteWritability(of: leg, isWritable: isWritable)
        guard let other = self.other(than: leg) else {
            self.readLane()
            return
        }
        if isWritable { other.resume(.peerNotWritable) } else { other.pause(.peerNotWritable) }
    }

    func legQueueChanged(_ leg: WebSocketLeg) { self.accountMemory() }

    func legWantsMessages(_ leg: WebSocketLeg) -> Bool {
        !self.machine.isSendWindowFull && self.limits.upstreamPause == nil
    }

    func legIsClosing(_ leg: WebSocketLeg) -> Bool { !self.isOpen }

    // MARK: - closing

    func apply(_ actions: CloseNegotiation.Actions) {
        if actions.began {
            self.closingDeadline = .now() + self.state.rules.closeTimeout
            self.liftPauses()
            self.arm()
        }
        if let frame = actions.toUpstream { self.sendClose(frame, to: self.upstreamLeg, from: self.clientLeg) }
        if let frame = actions.toClient {
            if let clientLeg = self.clientLeg {
                self.sendClose(frame, to: clientLeg, from: self.upstreamLeg)
            } else {
                // A poll answers Close by fetching it; towards the upstream that is as good as a Close frame.
                self.machine.finish(frame, now: .now())
                self.deliverReady()
                self.resumeUpstream()
                self.apply(self.machine.close(.close(from: .client, frame)))
            }
        }
        if actions.cutClient, let clientLeg = self.clientLeg { self.cut(clientLeg) }
        if actions.cutUpstream { self.cut(self.upstreamLeg) }
        if actions.ended { self.end() }
    }

    private func sendClose(_ frame: CloseFrame, to leg: WebSocketLeg, from source: WebSocketLeg?) {
        if let source, !source.scanner.isAtFrameBoundary, !self.machine.closing.mayReceive(from: source.sender) {
            // The rest of a frame will never come, and within a frame a Close would be read as its payload.
            leg.closeAmidFrame()
            return
        }
        var bytes = ByteBuffer()
        FrameWriter.close(frame, mask: leg.sender == .server ? .random(in: .min ... .max) : nil, into: &bytes)
        // A message whose sender is closing will not be ended.
        let isWorthIt = source.map { self.machine.closing.mayReceive(from: $0.sender) } ?? false
        leg.say(bytes, behind: source, betweenMessages: self.waitsForMessageEnd && isWorthIt)
    }

    private func cut(_ leg: WebSocketLeg) {
        // What `leg` brought last is written but not flushed: its read ends here, and may never be said complete.
        self.other(than: leg)?.flush()
        // Behind a peer's Close nothing comes any more, but behind what broke the protocol anything may; and our own
        // Close may still wait for the end of a frame.
        if leg === self.violator || leg.wantsBoundary {
            leg.closeLingering()
        } else {
            leg.close(within: self.timeToClose)
        }
    }

    /// For what is written to a peer to get out behind its close handshake.
    private var timeToClose: TimeAmount {
        guard let deadline = self.closingDeadline else { return self.state.rules.closeTimeout }
        return max(deadline - .now(), Self.leastTimeToClose)
    }

    private func end() {
        guard !self.isEnded else { return }
        self.isEnded = true
        if !self.isPolled { self.stopTimer() }
        self.dropForwarding(.problem(.gone(self.endFrame)))
        self.accountMemory()
        self.edge.log.ended(self, ending: self.machine.closing.ending, duration: .now() - self.openedAt)
        self.state.ended(self)
        self.buryIfDone()
        self.state.sessionEnded()
        self.releaseIfGone()
        self.arm()
    }

    /// Gives the session's places back when its connections are gone, not before: a client that reads nothing would
    /// have many connections for one place.
    private func releaseIfGone() {
        guard self.isEnded, !self.isGone else { return }
        if self.upstreamLeg.isLost { self.lease.release() }
        guard self.upstreamLeg.isLost, self.clientLeg?.isLost ?? true else { return }
        self.isGone = true
        self.releasePlace()
        self.accountMemory()
        self.state.gone(self)
    }

    /// A polled session keeps its place until it is buried: what its client does not fetch is held for it.
    func releasePlace() {
        if self.isGone, !self.isPolled || self.isBuried { self.place.release() }
    }

    // MARK: - time

    func stopTimer() {
        self.state.timers.cancel(self.timer)
        self.timer = nil
    }

    /// One timer for everything that waits; moved earlier when need be, otherwise it looks again when it fires.
    func arm() {
        if self.isBuried || (self.isEnded && !self.isPolled) { return }
        var earliest = self.isEnded ? NIODeadline.distantFuture : self.nextTick
        if !self.isEnded {
            for deadline in [
                self.closingDeadline, self.credentialDeadline, self.rateDeadline, self.pendingShutdown?.deadline,
                self.acknowledgeDeadline,
            ] {
                if let deadline { earliest = min(earliest, deadline) }
            }
        }
        earliest = min(earliest, self.limitDeadline, self.callerDeadline ?? .distantFuture)
        if let parked = self.machine.parked {
            earliest = min(earliest, parked.deadline)
        } else if self.isPolled, !self.machine.isAttended, self.isEnded || self.machine.closing.ending == nil {
            earliest = min(earliest, self.machine.resumeDeadline)
        }
        if self.timer != nil, self.timerDeadline <= earliest { return }
        self.state.timers.cancel(self.timer)
        self.timerDeadline = earliest
        self.timer = self.state.timers.schedule(at: earliest) { self.timerFired() }
    }

    private func timerFired() {
        self.timer = nil
        let now = NIODeadline.now()
        if let closing = self.closingDeadline, closing <= now {
            // Ends in legLost too, but by then the machine has done with it.
            self.cut()
        }
        if let pending = self.pendingShutdown, pending.deadline <= now { self.shutdown(pending.frame) }
        self.credentialTimerFired(now: now)
        if !self.isEnded, self.nextTick <= now {
            self.nextTick = now + self.state.rules.settings.ping
            // The clock on the wall may have been set since.
            self.reviewCredential()
            self.reviewCallers(.time)
            self.watch(now: now)
            self.keepAlive()
        }
        self.limitTimerFired(now: now)
        if self.isPolled { self.pollTimerFired(now: now) }
        self.arm()
    }

    private func keepAlive() {
        let upstream = self.upstreamLeg
        let ticks = self.machine.tick(client: self.clientLeg?.standing, upstream: upstream.standing)
        if let client = self.clientLeg {
            self.act(on: ticks.client, leg: client)
            client.look()
        }
        self.act(on: ticks.upstream, leg: upstream)
        upstream.look()
    }

    private func act(on tick: Keepalive.OnTick, leg: WebSocketLeg) {
        // Behind a Close of ours no ping may stand (RFC 6455 5.5.1), and behind its own a peer answers none. The close
        // handshake has its own deadline.
        let closing = self.machine.closing
        guard closing.maySend(to: leg.sender), closing.mayReceive(from: leg.sender) else { return }
        switch tick {
        case .nothing: break
        case .ping:
            let mask: UInt32? = leg.sender == .server ? .random(in: .min ... .max) : nil
            leg.inject(KeepalivePing.frame(mask: mask), behind: self.other(than: leg))
        case .lost:
            leg.abort()
        }
    }
}

import CulvertCore
import NIOCore

/// Reports the events of the upstream's leg to a resumable session. The leg owns it until the connection is gone.
final class ResumableUpstream: LegDelegate {
    private let session: ResumableSession

    init(_ session: ResumableSession) { self.session = session }

    /// Stops reading the upstream because the window is full. From then on the client counts as a side that takes
    /// nothing.
    static func pause(_ session: ResumableSession) {
        session.upstreamLeg.pause(.windowFull)
        Self.noteWindow(of: session)
    }

    private static func noteWindow(of session: ResumableSession) {
        guard session.client.traffic.stream.isSendWindowFull else {
            session.life.limits.flows(.client)
            return
        }
        guard session.life.limits.client.stalledSince == nil else { return }
        session.life.limits.stalls(.client, now: session.now)
        session.arm()
    }

    /// The window may have room again. Takes the messages that were held back, and then reads on.
    static func readOn(_ session: ResumableSession) {
        Self.noteWindow(of: session)
        guard !session.client.traffic.stream.isSendWindowFull else { return }
        session.upstreamLeg.drainMessages()
        if session.state.rules.hasSessionRates { session.charge(session.upstreamLeg) }
        guard !session.client.traffic.stream.isSendWindowFull else { return }
        session.upstreamLeg.resume(.windowFull)
    }

    // MARK: - LegDelegate

    /// The client has lanes and requests, and no leg.
    func other(than leg: WebSocketLeg) -> WebSocketLeg? { nil }

    // The leg assembles messages, and forwards no bytes as they came.
    func leg(_ leg: WebSocketLeg, forward bytes: ByteBuffer) {}

    func leg(_ leg: WebSocketLeg, message: PollMessage) {
        switch self.session.client.traffic.message(message) {
        case .kept: break
        case .full: Self.pause(self.session)
        // The bytes of the message count with the read that brought them.
        case .dropped: leg.noteDropped(SendWindow.overhead)
        }
    }

    func leg(_ leg: WebSocketLeg, close frame: CloseFrame) {
        leg.turnDeaf()
        self.session.negotiate(.close(from: .server, frame))
    }

    func leg(_ leg: WebSocketLeg, violation code: CloseCode, why: String) {
        leg.turnDeaf()
        self.session.negotiate(.breach(of: leg.scanner, code: code, why: why))
    }

    func legReadComplete(_ leg: WebSocketLeg) {
        let session = self.session
        session.life.keepalives.upstream.hear()
        session.deliver()
        session.accountMemory()
        if leg.hasNewControls {
            let new = leg.takeControls()
            if session.isOpen {
                session.charge(new, of: leg)
            } else {
                // The limits of an ended session charge nothing. The frames count as dropped messages, like all
                // messages that are not forwarded.
                leg.noteDropped(Int(clamping: new.frames) * SendWindow.overhead)
            }
        }
        if session.state.rules.hasSessionRates { session.charge(leg) }
    }

    func legLost(_ leg: WebSocketLeg) {
        self.session.negotiate(.lost(.server))
        self.session.releaseIfGone()
    }

    func leg(_ leg: WebSocketLeg, isWritable: Bool) {
        self.session.noteWritability(of: leg, isWritable: isWritable)
        self.session.readLane()
    }

    func legQueueChanged(_ leg: WebSocketLeg) { self.session.accountMemory() }

    func legWantsMessages(_ leg: WebSocketLeg) -> Bool {
        !self.session.client.traffic.stream.isSendWindowFull && self.session.life.limits.upstream.pause == nil
    }

    func legIsClosing(_ leg: WebSocketLeg) -> Bool { !self.session.isOpen }
    func legRoom(_ leg: WebSocketLeg) -> Int { self.session.state.slices.room }

    func leg(_ leg: WebSocketLeg, took frames: Int, hasMore: Bool) {
        self.session.state.slices.notePassed(frames)
        if hasMore { self.session.state.slices.enqueue(in: .sessions, of: self.session.facts.client) { leg.takeMore() } }
    }
}

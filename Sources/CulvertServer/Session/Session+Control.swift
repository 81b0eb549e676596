import CulvertCore
import NIOCore

/// A session's pings and pongs, which pass or are answered without it.
extension Session {
    /// Tells keepalive what pings and pongs a read of `leg` has brought, and pauses a peer that sends too many of them.
    func noteControls(of leg: WebSocketLeg) {
        let new = leg.takeControls()
        if !self.isPolled {
            if new.pings > 0 { self.notePing(behind: leg) }
            if new.pongs > 0 { self.notePong(of: leg) }
        }
        guard self.isOpen else {
            // The limits of an ended session charge nothing. The frames count as dropped messages, like all that goes
            // nowhere.
            if self.isPolled { leg.noteDropped(Int(clamping: new.frames) * SendWindow.overhead) }
            return
        }
        let now = NIODeadline.now()
        guard let wait = leg.control.charge(new.frames, now: now) else { return }
        leg.pause(.controlRate)
        if leg.control.isFirstExcess() { self.edge.log.tooManyControls(self, from: leg.sender) }
        if leg.sender == .client {
            self.limits.clientControlPause = now + wait
        } else {
            self.limits.upstreamControlPause = now + wait
        }
        self.arm()
    }

    /// Pings, pongs and empty fragments that the lane in use has brought count in the rates of the client.
    func noteControls(ofLane new: ControlCount) {
        self.limits.laneControls = self.limits.laneControls + new
        let count = Int(clamping: new.charged)
        guard count > 0 else { return }
        if let rate = self.messageRate { self.credential?.entry.use.take(count, rate: rate, now: .now()) }
        self.pauseLane()
    }

    /// An application's ping goes from `leg` to the other side.
    private func notePing(behind leg: WebSocketLeg) {
        if leg.sender == .client {
            self.machine.upstreamKeepalive.applicationPing()
        } else {
            self.machine.clientKeepalive.applicationPing()
        }
    }

    /// `leg` has brought a pong that is not Culvert's.
    private func notePong(of leg: WebSocketLeg) {
        if leg.sender == .client {
            self.machine.clientKeepalive.applicationPong()
        } else {
            self.machine.upstreamKeepalive.applicationPong()
        }
    }

    func endControlPauses(now: NIODeadline) {
        if let pause = self.limits.clientControlPause, pause <= now {
            self.limits.clientControlPause = nil
            self.clientLeg?.resume(.controlRate)
        }
        if let pause = self.limits.upstreamControlPause, pause <= now {
            self.limits.upstreamControlPause = nil
            self.upstreamLeg.resume(.controlRate)
        }
    }

    func liftControlPauses() {
        self.limits.clientControlPause = nil
        self.limits.upstreamControlPause = nil
        self.clientLeg?.resume(.controlRate)
        self.upstreamLeg.resume(.controlRate)
    }
}

extension WebSocketLeg {
    /// For keepalive. Behind a Close of ours, which may wait as well, keepalive does nothing.
    var standing: SessionStateMachine.Standing {
        SessionStateMachine.Standing(isPaused: self.isPaused, isUnasked: self.wantsBoundary)
    }
}

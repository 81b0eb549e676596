/// The side that ended a session: `closed_by` in the log line.
package enum Closer: String, Sendable {
    case client
    case upstream
    case culvert
}

/// How a session ended, as it is logged and answered to late polls.
package struct Ending: Equatable, Sendable {
    package var frame: CloseFrame
    package var closer: Closer

    package init(frame: CloseFrame, closer: Closer) {
        self.frame = frame
        self.closer = closer
    }
}

/// The closing of one session: two WebSocket legs, each with its own close handshake (RFC 6455 section 7).
///
/// Every way in which a session can end goes through here, whatever its transport, so that there is one table of
/// close codes (docs/close-codes.md).
package struct CloseNegotiation: Equatable, Sendable {
    /// The state of the close handshake on one leg.
    private struct Leg: Equatable, Sendable {
        var sent = false
        var received = false
        var lost = false

        var isDone: Bool { self.lost || (self.sent && self.received) }
    }

    package enum Event: Equatable, Sendable {
        /// The peer sent a Close frame.
        case close(from: Endpoint, CloseFrame)
        /// The peer's connection ended without one, or after it.
        case lost(Endpoint)
        /// The peer broke the protocol: it is told why, the other side that we go away.
        case violation(by: Endpoint, CloseFrame)
        /// The peer exceeded a limit of ours: both sides are told which one.
        case excess(by: Endpoint, CloseFrame)
        /// The server stops: both sides are told the same.
        case shutdown(CloseFrame)
        /// The operator or a dead token ends the session. Why is the client's business; the upstream is told that it
        /// goes away.
        case expelled(CloseFrame, upstream: CloseFrame)
        /// A resumable session whose client has no lane and came back in no time allowed: the client is as good as
        /// lost.
        case abandoned(CloseFrame)
        /// A close handshake took too long.
        case deadline
    }

    /// The actions for the driver, in this order: write, then cut.
    package struct Actions: Equatable, Sendable {
        package var toClient: CloseFrame?
        package var toUpstream: CloseFrame?
        /// Close the transport after what was written is out.
        package var cutClient = false
        package var cutUpstream = false
        /// The first reason to end was just seen: start the deadline of the close handshakes.
        package var began = false
        /// Both legs are done: the session is over.
        package var ended = false

        package init() {}
    }

    private var client = Leg()
    private var upstream = Leg()
    package private(set) var ending: Ending?
    package private(set) var isEnded = false

    package init() {}

    /// False once a Close was sent to `endpoint`: no frame may follow a Close (RFC 6455 5.5.1).
    package func maySend(to endpoint: Endpoint) -> Bool {
        switch endpoint {
        case .client: !self.client.sent && !self.client.lost
        case .server: !self.upstream.sent && !self.upstream.lost
        }
    }

    /// Bytes that a peer sends behind its own Close mean nothing.
    package func mayReceive(from endpoint: Endpoint) -> Bool {
        switch endpoint {
        case .client: !self.client.received && !self.client.lost
        case .server: !self.upstream.received && !self.upstream.lost
        }
    }

    package mutating func handle(_ event: Event) -> Actions {
        var actions = Actions()
        if self.isEnded { return actions }
        let begins = self.ending == nil
        switch event {
        case .close(.client, let frame):
            self.client.received = true
            self.note(Ending(frame: frame, closer: .client))
            self.send(frame, toUpstream: &actions)
            // The handshake passes through end to end: the client's answer is the upstream's, unless ours is out.
            if self.upstream.isDone { self.send(frame, toClient: &actions) }
        case .close(.server, let frame):
            self.upstream.received = true
            self.note(Ending(frame: frame, closer: .upstream))
            self.send(frame, toClient: &actions)
            if self.client.isDone { self.send(frame, toUpstream: &actions) }
        case .lost(.client):
            self.client.lost = true
            self.note(Ending(frame: CloseFrame(code: .abnormal, reason: "client lost"), closer: .client))
            self.send(CloseFrame(code: .goingAway, reason: "client lost"), toUpstream: &actions)
        case .lost(.server):
            self.upstream.lost = true
            self.note(Ending(frame: CloseFrame(code: .abnormal, reason: "upstream lost"), closer: .upstream))
            // A client that is closing already gets the code it asked with; another is told that we failed it.
            let echo = self.client.received ? self.ending?.frame : nil
            self.send(echo ?? CloseFrame(code: .internalError, reason: "upstream lost"), toClient: &actions)
        case .violation(.client, let frame):
            self.client.received = true
            self.note(Ending(frame: frame, closer: .culvert))
            self.send(frame, toClient: &actions)
            self.send(CloseFrame(code: .goingAway, reason: "client broke the protocol"), toUpstream: &actions)
        case .violation(.server, let frame):
            self.upstream.received = true
            self.note(Ending(frame: frame, closer: .culvert))
            self.send(frame, toUpstream: &actions)
            self.send(CloseFrame(code: .internalError, reason: "upstream broke the protocol"), toClient: &actions)
        case .excess(.client, let frame):
            self.client.received = true
            self.note(Ending(frame: frame, closer: .culvert))
            self.send(frame, toClient: &actions)
            self.send(CloseFrame(code: .goingAway, reason: frame.reason), toUpstream: &actions)
        case .excess(.server, let frame):
            self.upstream.received = true
            self.note(Ending(frame: frame, closer: .culvert))
            self.send(frame, toUpstream: &actions)
            self.send(CloseFrame(code: .internalError, reason: frame.reason), toClient: &actions)
        case .shutdown(let frame):
            self.note(Ending(frame: frame, closer: .culvert))
            self.send(frame, toClient: &actions)
            self.send(frame, toUpstream: &actions)
        case .expelled(let frame, let upstream):
            self.note(Ending(frame: frame, closer: .culvert))
            self.send(frame, toClient: &actions)
            self.send(upstream, toUpstream: &actions)
        case .abandoned(let frame):
            self.client.lost = true
            self.note(Ending(frame: frame, closer: .culvert))
            self.send(frame, toUpstream: &actions)
        case .deadline:
            actions.cutClient = !self.client.lost
            actions.cutUpstream = !self.upstream.lost
            self.client.lost = true
            self.upstream.lost = true
            self.note(Ending(frame: CloseFrame(code: .abnormal, reason: "close handshake timed out"), closer: .culvert))
        }
        if self.client.isDone && !self.client.lost { actions.cutClient = true }
        if self.upstream.isDone && !self.upstream.lost { actions.cutUpstream = true }
        actions.began = begins && self.ending != nil
        if self.client.isDone && self.upstream.isDone {
            self.isEnded = true
            actions.ended = true
        }
        return actions
    }

    private mutating func note(_ ending: Ending) {
        if self.ending == nil { self.ending = ending }
    }

    private mutating func send(_ frame: CloseFrame, toClient actions: inout Actions) {
        guard !self.client.sent, !self.client.lost else { return }
        self.client.sent = true
        actions.toClient = frame
    }

    private mutating func send(_ frame: CloseFrame, toUpstream actions: inout Actions) {
        guard !self.upstream.sent, !self.upstream.lost else { return }
        self.upstream.sent = true
        actions.toUpstream = frame
    }
}

import CulvertCore
import NIOCore

/// Brings requests from any loop to the sessions of one loop, on which each call is. ``SessionCall`` and
/// ``LaneJoining`` send the requests there.
struct RequestDelivery {
    /// That of the sessions' loop.
    let state: LoopState

    /// Finds the session. A session of another subject, path or route gets the answer for one that never existed.
    ///
    /// A request with a newer token of the same subject moves the session to it. A request with an older token that is
    /// still valid is served: it may have been under way when the newer one came. If the token has ended since another
    /// loop's gate let the request pass, the answer is that of the gate now.
    ///
    /// - Parameter isInTurn: it has waited for its turn already.
    func deliver(
        _ request: PollRequest, to id: SessionID, isInTurn: Bool = false, respond: @escaping (PollAnswer) -> Void
    ) {
        let session = self.state.session(id)
        var request = request
        if let session { request.caller = request.caller.withOrigin(of: session.facts) }
        if let fault = self.state.rules.faultOnTheWay(of: request, keyring: self.state.keyring) {
            respond(PollAnswer(fault))
            return
        }
        guard let session,
            self.isFor(request, session.facts.route, host: session.facts.host, basePath: session.basePath)
        else {
            respond(.problem(self.failureWithoutSession(request, id)))
            return
        }
        self.deliver(request, to: session, isInTurn: isInTurn, respond: respond)
    }

    private func deliver(
        _ request: PollRequest, to session: Session, isInTurn: Bool, respond: @escaping (PollAnswer) -> Void
    ) {
        let credential = request.caller.credential
        guard session.subject == credential?.token.subject else {
            // A reload that takes the token from a route ends the sessions that were opened with one. Their clients
            // come without a subject from then on, and are told of the end alone.
            let ended = request.isAnonymous && !session.isOpen ? session.resumable : nil
            respond(.problem(ended.map { .gone($0.endFrame) } ?? .unknownSession))
            return
        }
        // The gate has left this to the session.
        if request.caller.hasSessionsOrigin,
            let fault = self.state.rules.fault(
                of: request.caller, path: request.basePath, routeName: nil, keyring: self.state.keyring,
                .rules(haveJWTRulesChanged: false))
        {
            respond(PollAnswer(fault))
            return
        }
        if case .refresh = request.kind {
            respond(self.renew(session.token, with: credential))
        } else if let session = session.resumable {
            // A request with a token that has no place for the session is served all the same.
            try? session.token.adopt(credential)
            if !isInTurn, session.requests.needsTurn(request) {
                self.deliverInTurn(request, to: session, respond: respond)
            } else {
                session.requests.handle(request, respond: respond)
            }
        } else {
            respond(.problem(.unknownSession))
        }
    }

    private func renew(_ token: SessionToken, with credential: Credential?) -> PollAnswer {
        // The request may come from another origin than the session.
        if let rejection = token.refusal(of: credential) { return .rejected(rejection) }
        do throws(SessionToken.NotAdopted) {
            try token.adopt(credential)
            return .refreshed(expires: token.expires)
        } catch {
            return .problem(PollFailure(error))
        }
    }

    /// Serves a `GET` in a slice of the loop. A request of few bytes makes the loop take out and write a window's worth
    /// of messages. A client may repeat it without end, and many sessions may send one in the same moment.
    private func deliverInTurn(
        _ request: PollRequest, to session: ResumableSession, respond: @escaping (PollAnswer) -> Void
    ) {
        session.requests.wait(request.ticket)
        let id = session.id
        self.state.slices.enqueue(in: .sessions, of: session.facts.client) {
            guard let mayPark = session.requests.takeTurn(request.ticket) else {
                respond(.empty)
                return
            }
            // The session, the token and the rules may have changed meanwhile.
            self.deliver(request, to: id, isInTurn: true, respond: respond)
            if !mayPark { session.requests.endInput(ticket: request.ticket) }
        }
    }

    /// The answer where no session is for the request: the end of one that was lately, to its own client alone.
    private func failureWithoutSession(_ request: PollRequest, _ id: SessionID) -> PollFailure {
        guard let grave = self.state.sessions.tombstone(id, now: self.state.loop.now),
            self.isFor(request, nil, host: grave.host, basePath: grave.basePath),
            grave.subject == request.caller.credential?.token.subject || request.isAnonymous
        else { return .unknownSession }
        return .gone(grave.frame)
    }

    /// Whether a request came to the path of a session, by the route that a session opened there has. The route of
    /// another host for the same path may be less strict.
    ///
    /// - Parameter route: that of the session. A session that a reload has ended keeps its earlier route.
    private func isFor(_ request: PollRequest, _ route: Route?, host: String?, basePath: String) -> Bool {
        guard request.basePath == basePath else { return false }
        return route?.name == request.route
            || self.state.rules.gate.routeName(host: host, path: basePath) == request.route
    }
}

import CulvertCore
import NIOCore
import NIOHTTP1

/// The long-poll transport (docs/protocol.md).
extension EdgeRequest {
    /// Refuses what the head alone tells to be wrong, and reads the body of what is left.
    func poll(_ target: PollTarget, head: HTTPRequestHead, query: String?, admission: Admission) {
        do throws(PollProblem) {
            switch (head.method, target) {
            case (.POST, .open(let base)):
                self.open(base: base, head: head, admission: admission)
            case (.GET, .session(let base, let id)):
                let ack = try Self.number("ack", in: query) ?? 0
                self.exchange.collectBody(limit: Self.smallBody) { _ in
                    self.dispatch(.receive(ack: ack), base: base, id: id, head: head, admission: admission)
                }
            case (.POST, .session(let base, let id)):
                let codec = try Self.codec(ofBody: head.headers)
                self.send(BatchRequest(codec: codec, base: base, id: id, head: head, admission: admission))
            case (.DELETE, .session(let base, let id)), (.POST, .close(let base, let id)):
                let frame = try Self.closeFrame(query)
                self.exchange.collectBody(limit: target.bodyLimit ?? Self.smallBody) { _ in
                    self.dispatch(.close(frame), base: base, id: id, head: head, admission: admission)
                }
            case (.PUT, .token(let base, let id)):
                self.exchange.collectBody(limit: target.bodyLimit ?? Self.smallBody) { _ in
                    self.dispatch(.refresh, base: base, id: id, head: head, admission: admission)
                }
            case (.GET, .socket), (.GET, .probe):
                self.answer(.upgradeRequired, admission)
            default:
                let allowed =
                    switch target {
                    case .session: "GET, POST, DELETE"
                    case .token: "PUT"
                    case .open, .close: "POST"
                    case .socket, .probe: "GET"
                    }
                self.answer(
                    .problem(405, "method_not_allowed", "Not a request of the protocol.", headers: ["Allow": allowed]),
                    admission)
            }
        } catch {
            self.answer(.problem(error.status, "bad_batch", error.detail), admission)
        }
    }

    func answer(_ answer: HTTPAnswer, _ admission: Admission) {
        self.respond(answer.allowing(origin: admission.allowedOrigin))
    }

    // MARK: - opening

    /// Takes a place among the sessions before it reads the body.
    private func open(base: String, head: HTTPRequestHead, admission: Admission) {
        let client = self.clientFacts(head)
        guard let place = self.takePlace(admission, address: client.address) else { return }
        self.openingPlace = place
        self.exchange.collectBody(limit: PollTarget.open(base: base).bodyLimit ?? 0, claim: .place) { body in
            self.openingPlace = nil
            do throws(PollProblem) {
                var admission = admission
                try self.addProtocols(body, to: &admission, head: head)
                self.openSession(
                    base: base, head: head, admission: admission, client: client, place: place, transport: .longPoll
                ) { session, headers in
                    session.start()
                    self.answerOpened(session, headers: headers, admission: admission)
                }
            } catch {
                place.release()
                self.answer(.problem(error.status, "bad_batch", error.detail), admission)
            }
        }
    }

    /// The subprotocols that the body of an opening offers.
    private func addProtocols(
        _ body: ByteBuffer, to admission: inout Admission, head: HTTPRequestHead
    ) throws(PollProblem) {
        let now = Clock.unixSeconds()
        let asked = try PollOpening.protocols(of: body, readsTokens: admission.readsSubprotocols) {
            self.state.rules.gate.isOwn($0, in: $1, keyring: &self.state.keyring, now: now)
        }
        guard !asked.isEmpty else { return }
        admission.forwardProtocols += asked
        // What goes upstream as a field is bounded as if the client had sent it as one.
        guard admission.forwardProtocols.count <= Gate.protocolLimit else {
            throw PollProblem(400, "At most \(Gate.protocolLimit) subprotocols may be offered.")
        }
        let names = admission.forwardProtocols.reduce(0) { $0 + $1.utf8.count + 2 }
        guard head.sectionSize + names <= self.state.rules.config.limits.header else {
            throw PollProblem(431, "The header section and the subprotocols are too large together.")
        }
    }

    /// A session that outlives its lanes, not started yet; answers if there cannot be one.
    ///
    /// - Parameters:
    ///   - place: the session's; released if there is none.
    ///   - transport: by which the gate let the opening in.
    ///   - then: gets it, and the headers of the upstream's handshake.
    func openSession(
        base: String, head: HTTPRequestHead, admission: Admission, client: ClientFacts, place: SessionPlace,
        transport: Transport, then: @escaping (Session, HTTPHeaders) -> Void
    ) {
        var generator = SystemRandomNumberGenerator()
        let key = Handshake.key(from: (generator.next(), generator.next()))
        let request = ForwardedHeaders.request(
            client: head, admission: admission, basePath: base, key: key, extensions: [],
            identityHeader: self.state.rules.config.authentication.identityHeader, facts: client)
        self.dial(request, admission: admission, client: client, place: place, path: base, transport: transport) {
            result in
            switch result {
            case .success(.connected(let connection)):
                do {
                    let session = try self.session(
                        over: connection, head: head, key: key, base: base, address: client.address,
                        admission: admission, place: place)
                    then(session, connection.headers)
                } catch {
                    connection.channel.cut()
                    place.release()
                    self.answer(self.edge.answer(to: error, route: admission.route), admission)
                }
            case .success(.refused(let head, let body)):
                place.release()
                self.answer(.refusal(head, body, cookies: self.state.rules.tokenCookies), admission)
            case .failure(let error):
                place.release()
                self.answer(self.edge.answer(to: error, route: admission.route), admission)
            }
        }
    }

    private func session(
        over connection: UpstreamConnector.Connection, head: HTTPRequestHead, key: String, base: String,
        address: String, admission: Admission, place: SessionPlace
    ) throws -> Session {
        let headers = connection.headers
        let fault = Handshake.checkResponse(
            connection: headers["connection"], upgrade: headers["upgrade"], accept: headers["sec-websocket-accept"],
            protocols: headers["sec-websocket-protocol"], extensions: headers["sec-websocket-extensions"], key: key,
            offeredProtocols: admission.forwardProtocols, offeredExtensions: [])
        if let fault { throw UpstreamFailure(isTimeout: false, reason: fault) }
        // Nobody would learn what the session is called.
        if self.isGone { throw UpstreamFailure(isTimeout: false, reason: "client gone") }
        let limit = admission.route.message.kept(from: .server)
        let fragments = self.state.rules.config.limits.session.fragments
        let leg = WebSocketLeg(
            sender: .server,
            scanner: FrameScanner(
                sender: .server, messageLimit: limit, allowedRSV: 0, validateText: true, fragmentLimit: fragments),
            assembler: MessageAssembler(
                sender: .server, messageLimit: limit, fragmentLimit: fragments, keepsPings: true),
            isSecure: connection.lease.server.config.isSecure)
        try UpstreamConnector.install(leg, on: connection.channel)
        return Session(
            facts: self.edge.facts(
                admission, head: head, path: base, address: address, jwtRules: self.jwtRules, state: self.state),
            credential: admission.credential, edge: self.edge, state: self.state, clientLeg: nil, upstreamLeg: leg,
            lease: connection.lease, place: place)
    }

    private func answerOpened(_ session: Session, headers: HTTPHeaders, admission: Admission) {
        let base = session.basePath
        let location = (base == "/" ? "" : base) + "/" + PollTarget.marker + "/" + session.id.description
        var response = self.response(headers)
        response.replaceOrAdd(name: "Location", value: location)
        response.replaceOrAdd(name: "Content-Type", value: "application/json")
        // Of an answer without a body, while this one has its own.
        for name in ["Cache-Control", "Content-Encoding", "Content-Range"] { response.remove(name: name) }
        let body = ByteBuffer(string: self.description(of: session, headers: headers) + "\n")
        self.answer(HTTPAnswer(status: .created, headers: response, body: body), admission)
    }

    /// What a client needs to know of its session, as JSON (docs/protocol.md, section 2).
    func description(of session: Session, headers: HTTPHeaders) -> String {
        let settings = self.state.rules.settings
        let chosen = headers.first(name: "sec-websocket-protocol").map(Problem.quote) ?? "null"
        let expires = session.expires.map { ",\"expires\":\($0)" } ?? ""
        return "{\"session\":\"\(session.id)\",\"protocol\":\(chosen),\"hold\":\(Self.seconds(settings.hold))"
            + ",\"resume\":\(Self.seconds(settings.resume))"
            + ",\"max_message\":\(session.facts.route.message.kept(from: .client))"
            + ",\"max_batch\":\(settings.maxBatch)\(expires)}"
    }

    private static func seconds(_ time: TimeAmount) -> String {
        time.nanoseconds % 1_000_000_000 == 0
            ? "\(time.nanoseconds / 1_000_000_000)" : "\(Double(time.nanoseconds / 1_000_000) / 1000)"
    }

    // MARK: - open sessions

    /// - Parameter whenWelcome: with an offer or an outline, to be done when the session would take a batch.
    func dispatch(
        _ kind: PollRequest.Kind, base: String, id text: String, head: HTTPRequestHead, admission: Admission,
        whenWelcome: (() -> Void)? = nil
    ) {
        let ticket = UInt64.random(in: .min ... .max)
        let request = PollRequest(kind: kind, ticket: ticket, admission: admission, basePath: base, of: self)
        let codec = Self.codec(accepted: head.headers)
        let back = NIOLoopBound(self, eventLoop: self.state.loop)
        let loop = self.state.loop
        guard let id = SessionID(text) else {
            self.answer(.failure(.unknownSession), admission)
            return
        }
        self.pendingPoll = PendingPoll(id: id, ticket: ticket, whenWelcome: whenWelcome)
        // It waits for messages now, and is no handshake any more.
        if case .receive = kind { self.front.releasePlace() }
        let known = self.edge.onLoop(of: id) { state in
            state.handle(request, id: id) { answer in
                if loop.inEventLoop {
                    back.value.deliver(answer, ticket: ticket, codec: codec, admission: admission)
                } else {
                    loop.execute {
                        back.value.inTurn(answer) { request in
                            request.deliver(answer, ticket: ticket, codec: codec, admission: admission)
                        }
                    }
                }
            }
        }
        if !known { self.answer(.failure(.unknownSession), admission) }
        // The end may have come in front of the answer to a question about the token, or of the body.
        if self.exchange.isInputClosed { self.inputEnded() }
    }

    private func deliver(_ answer: PollAnswer, ticket: UInt64, codec: PollCodec, admission: Admission) {
        guard let pending = self.pendingPoll, pending.ticket == ticket else { return }
        switch answer {
        case .empty where pending.whenWelcome != nil:
            self.pendingPoll = nil
            pending.whenWelcome?()
        case .empty:
            self.answer(HTTPAnswer(status: .noContent), admission)
        case .batch(let batch, let hold):
            var answer = HTTPAnswer(batch, in: codec)
            let back = NIOLoopBound(self, eventLoop: self.state.loop)
            let isWanted = hold?.begin(bytes: answer.length) { [weak hold] in
                let hold = hold
                back.eventLoop.execute { back.value.cutAnswer(hold) }
            }
            if isWanted == false { answer = HTTPAnswer(status: .noContent) }
            answer.hold = hold
            self.answer(answer, admission)
        case .problem(let failure):
            self.answer(.failure(failure), admission)
        case .unauthorized(let fault):
            var rejection = Gate.unauthorized(fault)
            rejection.allowedOrigin = admission.allowedOrigin
            self.reject(rejection)
        case .rejected(let rejection):
            self.reject(rejection)
        case .refreshed(let expires):
            let body = expires.map { "{\"expires\":\($0)}\n" } ?? "{}\n"
            self.answer(
                HTTPAnswer(
                    status: .ok, headers: ["Content-Type": "application/json"], body: ByteBuffer(string: body)),
                admission)
        case .joined:
            // Only lanes join.
            self.answer(.problem(500, "internal", "This should not have happened."), admission)
        }
    }

    // MARK: - request details

    /// Binary when asked for by name; JSON to everyone else.
    private static func codec(accepted headers: HTTPHeaders) -> PollCodec {
        FieldValue.containsEssence(headers["accept"], PollCodec.binary.mediaType) ? .binary : .json
    }

    private static func codec(ofBody headers: HTTPHeaders) throws(PollProblem) -> PollCodec {
        guard let type = headers.first(name: "content-type") else { return .json }
        if FieldValue.hasEssence(type, PollCodec.binary.mediaType) { return .binary }
        guard self.jsonTypes.contains(where: { FieldValue.hasEssence(type, $0) }) else {
            throw PollProblem(415, "A batch is \(PollCodec.binary.mediaType) or application/json.")
        }
        return .json
    }

    /// A form type is what curl and sendBeacon say of a body when told nothing.
    private static let jsonTypes = [PollCodec.json.mediaType, "text/plain", "application/x-www-form-urlencoded"]

    private static func parameter(_ name: String, in query: String?) -> String? {
        guard let query, let raw = Query.rawValue(of: name, in: query) else { return nil }
        return PercentEncoding.decode(raw, isForm: true) ?? String(raw)
    }

    private static func number(_ name: String, in query: String?) throws(PollProblem) -> UInt64? {
        guard let text = self.parameter(name, in: query) else { return nil }
        guard let number = text.decimal(as: UInt64.self) else {
            throw PollProblem(400, "\(name) is not a sequence number.")
        }
        return number
    }

    private static func closeFrame(_ query: String?) throws(PollProblem) -> CloseFrame {
        var code = CloseCode.normal
        if let text = self.parameter("code", in: query) {
            guard let number = text.decimal(as: UInt16.self) else {
                throw PollProblem(400, "code is not a close code.")
            }
            code = CloseCode(rawValue: number)
        }
        return try PollCodec.checkClose(CloseFrame(code: code, reason: self.parameter("reason", in: query) ?? ""))
    }
}

extension EdgeRequest {
    /// Tells why the request's token has died if the session that the request names is the token's own; from all others
    /// the answer is that of a token that never was. Nobody else learns that a token was once valid.
    func reject(_ rejection: Rejection, _ target: PollTarget?) {
        guard rejection.fault != nil else {
            self.reject(rejection)
            return
        }
        var concealed = Gate.invalidToken
        concealed.allowedOrigin = rejection.allowedOrigin
        guard let target, let id = target.sessionID.flatMap({ SessionID($0) }) else {
            self.reject(concealed)
            return
        }
        let answers = [concealed, rejection]
        let back = NIOLoopBound(self, eventLoop: self.state.loop)
        let isAsked = self.edge.onLoop(of: id) { state in
            let isKnown = state.knows(id, subject: rejection.subject, basePath: target.base)
            back.eventLoop.execute { back.value.reject(answers[isKnown ? 1 : 0]) }
        }
        if !isAsked { self.reject(concealed) }
    }
}

extension LoopState {
    /// Whether there is such a session of the subject at the path, or was one lately.
    func knows(_ id: SessionID, subject: String?, basePath: String) -> Bool {
        if let session = self.session(id) { return session.subject == subject && session.basePath == basePath }
        return self.tombstone(id).map { $0.subject == subject && $0.basePath == basePath } ?? false
    }

    /// Finds the session; one of another subject, path or route is answered as one that never was.
    ///
    /// A request with a newer token of the same subject moves the session to it. One with an older token that is still
    /// good is served: it may have been under way when the newer one came. One whose token has died since another
    /// loop's gate let it pass is told so, as the gate would tell it now.
    ///
    /// - Parameter isInTurn: it has waited for its turn already.
    func handle(
        _ request: PollRequest, id: SessionID, isInTurn: Bool = false, respond: @escaping (PollAnswer) -> Void
    ) {
        let session = self.session(id)
        var request = request
        if let session { request.caller = request.caller.withOrigin(of: session.facts) }
        if let fault = self.faultOnTheWay(of: request) {
            respond(PollAnswer(fault))
            return
        }
        let credential = request.caller.credential
        let subject = credential?.token.subject
        if let session,
            self.isFor(request, session.facts.route, host: session.facts.host, basePath: session.basePath)
        {
            guard session.subject == subject else {
                // A reload that takes the token from a route ends the sessions that were opened with one. Their clients
                // come without a subject from then on, and are told of the end alone.
                let isTold = request.isAnonymous && session.isPolled && !session.isOpen
                respond(.problem(isTold ? .gone(session.endFrame) : .unknownSession))
                return
            }
            // The gate has left this to the session.
            if request.caller.hasSessionsOrigin,
                let fault = self.fault(
                    of: request.caller, path: request.basePath, routeName: nil, .rules(haveJWTRulesChanged: false))
            {
                respond(PollAnswer(fault))
                return
            }
            if case .refresh = request.kind {
                // The request may come from another origin than the session.
                if let rejection = session.refusal(of: credential) {
                    respond(.rejected(rejection))
                    return
                }
                do throws(Session.NotAdopted) {
                    try session.adopt(credential)
                    respond(.refreshed(expires: session.expires))
                } catch {
                    respond(.problem(PollFailure(error)))
                }
            } else if session.isPolled {
                // A request with a token that has no place for the session is served all the same.
                try? session.adopt(credential)
                if !isInTurn, session.needsTurn(request) {
                    self.handleInTurn(request, of: session, respond: respond)
                } else {
                    session.handle(request, respond: respond)
                }
            } else {
                respond(.problem(.unknownSession))
            }
        } else if let grave = self.tombstone(id), self.isFor(request, nil, host: grave.host, basePath: grave.basePath),
            grave.subject == subject || request.isAnonymous
        {
            respond(.problem(.gone(grave.frame)))
        } else {
            respond(.problem(.unknownSession))
        }
    }

    /// Whether a request came to the path of a session, and by the route that a session opened there has. Another route
    /// for the same path, that of another host, may be less strict.
    ///
    /// - Parameter route: of the session. One that a reload ended has the route of before.
    private func isFor(_ request: PollRequest, _ route: Route?, host: String?, basePath: String) -> Bool {
        guard request.basePath == basePath else { return false }
        return route?.name == request.route || self.rules.gate.routeName(host: host, path: basePath) == request.route
    }
}

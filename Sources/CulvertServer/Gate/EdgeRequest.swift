import CulvertCore
import NIOCore
import NIOHTTP1

/// One request of the edge: asks the gate at its head, before a byte of the body is kept, and hands what passes to a
/// transport. Bound to the loop of its connection.
final class EdgeRequest {
    let exchange: Exchange
    /// As the client sent it, but for the host of a target in absolute form.
    private(set) var head: HTTPRequestHead
    let front: EdgeFront
    /// The first `Host` line and every `Origin` line, as the gate sees them.
    private(set) var host: String?
    private(set) var origins: [String] = []
    /// The session loop that holds this request, to be told when the connection is gone.
    var pendingPoll: PendingPoll?
    /// Taken for an opening whose body is still on its way.
    var openingPlace: SessionPlace?
    /// What was asked of JWTs when the request was let in.
    private(set) var jwtRules: JWTClaimRules?
    /// The rules by which the gate let the request in; nil before that.
    private(set) var admittedBy: EdgeRules?
    /// It asks for a session, rather than being meant for an open one or for a file.
    private(set) var isOpening = true
    /// Where an opening waits for a server with room.
    let line = PlaceInLine()

    struct PendingPoll {
        var id: SessionID
        var ticket: UInt64
        /// Reads the batch, when the session would take one.
        var whenWelcome: (() -> Void)?
    }

    /// Most bytes of a body where none is expected.
    static let smallBody = 4 * 1024

    init(_ exchange: Exchange, front: EdgeFront) {
        self.exchange = exchange
        self.head = exchange.head
        self.front = front
        exchange.onEnd = { isAnswered in if !isAnswered { self.clientLeft() } }
        exchange.onInputEnd = { self.inputEnded() }
        exchange.onRefusal = { self.noteRefusal($0) }
    }

    var edge: EdgeContext { self.front.edge }
    var state: LoopState { self.front.state }
    var isGone: Bool { self.exchange.isGone }

    private func clientLeft() {
        self.abandonPoll()
        self.line.leave()
        self.openingPlace?.release()
        self.openingPlace = nil
    }

    // MARK: - the gate

    func begin() {
        let address: RequestTarget
        do throws(BadTarget) {
            address = try RequestTarget(takingHostOf: &self.head)
        } catch {
            self.respond(.problem(400, error.code, error.detail), isLast: true)
            return
        }
        let head = self.head
        let path = address.path
        if address.isServer {
            self.respond(.serverOptions)
            return
        }
        guard !FieldValue.isLong(head.headers["connection"]) else {
            self.respond(.problem(400, "bad_request", "Connection has too many members."), isLast: true)
            return
        }
        // HTTP/1.0 has no Upgrade (RFC 9110 7.8), and no WebSocket begins with it (RFC 6455 4.2.1).
        let wantsUpgrade =
            (head.version.major, head.version.minor) >= (1, 1)
            && Handshake.isUpgrade(connection: head.headers["connection"], upgrade: head.headers["upgrade"])
        if let answer = self.file(path, head) {
            self.isOpening = false
            self.respond(answer)
            return
        }
        let target = PollTarget.parse(path: path)
        self.isOpening = Arrival(path: path, target: target).opens
        var request = GateRequest(
            method: head.method.rawValue, path: target?.base ?? path, query: address.query,
            host: head.headers.first(name: "host"))
        request.origins = head.headers["origin"]
        (self.host, self.origins) = (request.host, request.origins)
        if self.isOpening, self.refusesLoop() { return }
        request.authorization = head.headers["authorization"]
        request.cookies = head.headers["cookie"]
        // The list has room for one more than the gate lets pass, so that the gate sees that there are too many.
        request.protocols = FieldValue.list(head.headers["sec-websocket-protocol"], atMost: Gate.protocolLimit + 1)
        request.wantsUpgrade = wantsUpgrade && target?.takesUpgrade ?? true
        request.isPoll = target != nil
        if case .token? = target { request.isRefresh = true }
        request.mayHaveSessionsOrigin =
            target?.sessionID != nil
            && SessionOrigin.mayCount(
                origins: request.origins, site: head.headers["sec-fetch-site"],
                isPlainGet: head.method == .GET && !request.wantsUpgrade)
        request.preflightMethod = head.headers.first(name: "access-control-request-method")
        if case .close? = target, let type = head.headers.first(name: "content-type"),
            FieldValue.hasEssence(type, "application/x-www-form-urlencoded"), self.exchange.hasBody
        {
            self.decideWithForm(request, Arrival(path: path, target: target))
        } else {
            self.decide(request, Arrival(path: path, target: target))
        }
    }

    /// A beacon has its token in its body, if it has one. What is refused for another reason is refused at the head.
    private func decideWithForm(_ request: GateRequest, _ arrival: Arrival) {
        if case .reject(let rejection) = self.state.rules.gate.decide(
            request, keyring: &self.state.keyring, now: Clock.unixSeconds(), load: nil), rejection.status != 401
        {
            self.reject(rejection, arrival.target)
            return
        }
        self.exchange.collectBody(limit: arrival.target?.bodyLimit ?? Self.smallBody) { body in
            var request = request
            request.form = String(buffer: body)
            self.decide(request, arrival)
        }
    }

    /// What is served without asking the gate; nil for all else.
    private func file(_ path: String, _ head: HTTPRequestHead) -> HTTPAnswer? {
        self.edge.pages.first { path.equals($0.key) }?.value.answer(method: head.method, headers: head.headers)
            ?? self.state.rules.clientFiles?.answer(path: path, method: head.method, headers: head.headers)
    }

    /// What the transport needs of a request once the gate has let it pass.
    private struct Arrival: Sendable {
        var path: String
        var target: PollTarget?

        /// Rather than being of a session that is open.
        var opens: Bool {
            switch self.target {
            case nil, .open, .probe: true
            default: false
            }
        }
    }

    private func decide(_ request: GateRequest, _ arrival: Arrival) {
        let load = arrival.opens ? self.edge.load(self.state.rules.config.limits) : nil
        let now = Clock.unixSeconds()
        switch self.state.rules.gate.decide(request, keyring: &self.state.keyring, now: now, load: load) {
        case .reject(let rejection): self.reject(rejection, arrival.target)
        case .preflight(let preflight): self.respond(.preflight(preflight))
        case .verify(let jwt): self.verify(jwt, request, arrival)
        case .admit(let admission):
            self.jwtRules = self.state.rules.config.authentication.jwt?.rules
            self.admittedBy = self.state.rules
            if request.wantsUpgrade, self.exchange.hasBody {
                // Where such a body ends, and the other protocol begins, is read in more than one way.
                self.respond(.problem(400, "bad_handshake", "A handshake has no body."), isLast: true)
            } else if request.wantsUpgrade, self.exchange.isInputClosed {
                self.respond(.inputEnded)
            } else if let target = arrival.target, request.wantsUpgrade {
                self.lane(target, head: self.head, admission: admission)
            } else if let target = arrival.target {
                self.poll(target, head: self.head, query: admission.forwardQuery, admission: admission)
            } else {
                self.upgrade(head: self.head, path: arrival.path, admission: admission)
            }
        }
    }

    /// Asks again when the signature is known to be good or not. The loop goes on meanwhile; a JWT that was verified
    /// here lately does not come this way.
    private func verify(_ jwt: String, _ request: GateRequest, _ arrival: Arrival) {
        let back = NIOLoopBound(self, eventLoop: self.state.loop)
        let rules = self.state.rules
        let address = AddressKey(self.clientFacts(self.head).address)
        Task {
            let result = await rules.verifyJWT?(jwt, address) ?? .failure(.invalid)
            back.eventLoop.execute {
                var request = request
                // What was found under a configuration that is no more counts for nothing: it is looked at again.
                if back.value.state.rules === rules {
                    switch result {
                    case .success(let credential): back.value.state.keyring.remember(credential, for: jwt)
                    case .failure(let refusal): request.jwtRefusal = refusal
                    }
                }
                if !back.value.isGone { back.value.decide(request, arrival) }
            }
        }
    }

    /// For a session that the gate would let in; answers if there is none.
    func takePlace(_ admission: Admission, address: String) -> SessionPlace? {
        do throws(AdmissionDenial) {
            let place = try self.edge.admissions.open(
                admission, address: address, connection: self.front.place, limits: self.state.rules.config.limits,
                now: .now())
            self.front.releasePlace()
            return place
        } catch {
            self.respond(.denial(error).allowing(origin: admission.allowedOrigin))
            return nil
        }
    }

    func reject(_ rejection: Rejection) {
        self.respond(.rejection(rejection, closeCode: self.state.rules.config.authentication.closeCode))
    }

    // MARK: - answers

    /// - Parameter isLast: the connection takes no other request.
    func respond(_ answer: HTTPAnswer, isLast: Bool = false) {
        self.noteRefusal(answer)
        // A session that is open has its requests here, as long as it lasts.
        let isMoving = self.edge.isStopping || (self.edge.isHandedOver && self.pendingPoll == nil)
        self.pendingPoll = nil
        let isCrowded = !self.edge.admissions.mayKeepAlive(self.state.rules.config.limits)
        self.exchange.respond(answer, isLast: isLast || isMoving || isCrowded)
    }

    /// The answer that is being written is not wanted any more, and cannot be ended but with its connection.
    func cutAnswer(_ hold: AnswerHold?) {
        if hold?.isUnderWay == true { self.exchange.abort() }
    }

    /// Tells the loop that holds the session of a poll that its connection is gone.
    func abandonPoll() {
        guard let pending = self.pendingPoll else { return }
        self.pendingPoll = nil
        let (id, ticket) = (pending.id, pending.ticket)
        self.edge.onLoop(of: id) { $0.session(id)?.laneLost(ticket: ticket) }
    }
}

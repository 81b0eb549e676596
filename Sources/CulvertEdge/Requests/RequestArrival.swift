import CulvertConfig
import CulvertCore
import CulvertSystem
import NIOCore
import NIOHTTP1

/// A request whose head has come. It owns the question to the gate, asks it before a byte of the body is kept, and
/// answers a request that does not pass. ``EdgeFront`` begins it, on the request's loop.
struct RequestArrival {
    private let request: EdgeRequest
    private let path: String
    private let target: PollTarget?
    private var question: GateRequest

    /// Answers what needs no gate, and asks the gate about the rest.
    static func begin(_ request: EdgeRequest) {
        let address: RequestTarget
        do throws(BadTarget) {
            address = try request.takeTarget()
        } catch {
            request.respond(.problem(400, error.code, error.detail), isLast: true)
            return
        }
        let head = request.head
        if address.isServer {
            request.respond(.serverOptions)
            return
        }
        guard !FieldValue.isLong(head.headers["connection"]) else {
            request.respond(.problem(400, "bad_request", "Connection has too many members."), isLast: true)
            return
        }
        let files = ServedFiles(pages: request.edge.pages, client: request.state.rules.clientFiles)
        if let answer = files.answer(path: address.path, head) {
            request.isOpening = false
            request.respond(answer)
            return
        }
        let target = PollTarget.parse(path: address.path)
        request.isOpening = target?.sessionID == nil
        request.host = head.headers.first(name: "host")
        request.origins = head.headers["origin"]
        if request.isOpening, let refusal = HTTPAnswer.loop(head) {
            request.respond(refusal)
            return
        }
        RequestArrival(request, at: address, target).decideOrRead()
    }

    private init(_ request: EdgeRequest, at address: RequestTarget, _ target: PollTarget?) {
        let head = request.head
        // HTTP/1.0 has no Upgrade (RFC 9110 7.8), and no WebSocket begins with it (RFC 6455 4.2.1).
        let wantsUpgrade =
            (head.version.major, head.version.minor) >= (1, 1)
            && Handshake.isUpgrade(connection: head.headers["connection"], upgrade: head.headers["upgrade"])
        var question = GateRequest(
            method: head.method.rawValue, path: target?.base ?? address.path, query: address.query,
            host: request.host)
        question.origins = request.origins
        question.authorization = head.headers["authorization"]
        question.cookies = head.headers["cookie"]
        // The list has room for one more than the gate lets pass, so that the gate sees that there are too many.
        question.protocols = FieldValue.list(head.headers["sec-websocket-protocol"], atMost: Gate.protocolLimit + 1)
        question.wantsUpgrade = wantsUpgrade && target?.takesUpgrade ?? true
        question.isPoll = target != nil
        if case .token? = target { question.isRefresh = true }
        question.mayHaveSessionsOrigin =
            target?.sessionID != nil
            && SessionOrigin.mayCount(
                origins: question.origins, site: head.headers["sec-fetch-site"],
                isPlainGet: head.method == .GET && !question.wantsUpgrade)
        question.preflightMethod = head.headers.first(name: "access-control-request-method")
        self.request = request
        self.path = address.path
        self.target = target
        self.question = question
    }

    private func decideOrRead() {
        if case .close? = self.target, let type = self.request.head.headers.first(name: "content-type"),
            FieldValue.hasEssence(type, "application/x-www-form-urlencoded"), self.request.exchange.hasBody
        {
            self.decideWithForm()
        } else {
            self.decide()
        }
    }

    /// Decides on a beacon, which may have its token in its body. A beacon that is refused for another reason is
    /// refused at its head.
    private func decideWithForm() {
        let state = self.request.state
        if case .reject(let rejection) = state.rules.gate.decide(
            self.question, keyring: &state.keyring, now: Clock.unixSeconds(), load: nil), rejection.status != 401
        {
            self.reject(rejection)
            return
        }
        self.request.exchange.collectBody(limit: self.target?.bodyLimit ?? EdgeRequest.smallBody) { body in
            var arrival = self
            arrival.question.form = String(buffer: body)
            arrival.decide()
        }
    }

    private func decide() {
        let state = self.request.state
        let load = self.request.isOpening ? self.request.edge.load(state.rules.config.limits) : nil
        let now = Clock.unixSeconds()
        switch state.rules.gate.decide(self.question, keyring: &state.keyring, now: now, load: load) {
        case .reject(let rejection): self.reject(rejection)
        case .preflight(let preflight): self.request.respond(.preflight(preflight))
        case .verify(let jwt): self.verify(jwt)
        case .admit(let admission):
            RequestRouter(request: self.request, admission: admission)
                .serve(path: self.path, self.target, wantsUpgrade: self.question.wantsUpgrade)
        }
    }

    private func reject(_ rejection: Rejection) {
        RejectionAnswer(request: self.request, target: self.target).reject(rejection)
    }

    /// Asks again when the signature is known to be good or not. The loop goes on meanwhile; a JWT that was verified
    /// here lately does not come this way.
    private func verify(_ jwt: String) {
        let back = NIOLoopBound(self, eventLoop: self.request.state.loop)
        let rules = self.request.state.rules
        let address = self.request.client
        Task {
            let result = await rules.verifyJWT?(jwt, address) ?? .failure(.invalid)
            back.eventLoop.execute { back.value.verified(jwt, result, under: rules) }
        }
    }

    private func verified(_ jwt: String, _ result: Result<Credential, JWTRefusal>, under rules: EdgeRules) {
        let state = self.request.state
        var arrival = self
        // A decision under an earlier configuration does not count; the gate is asked again.
        if state.rules === rules {
            switch result {
            case .success(let credential): state.keyring.remember(credential, for: jwt)
            case .failure(let refusal): arrival.question.jwtRefusal = refusal
            }
        }
        if !self.request.isGone { arrival.decide() }
    }
}

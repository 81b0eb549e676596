import CulvertCore
import NIOCore
import NIOHTTP1
import NIOSSL

/// The end of a client's HTTP pipeline: collects a request, asks the gate, and hands what passes to a transport.
///
/// An upgrade replaces this handler and all of HTTP by a ``WebSocketLeg``.
final class GateHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    let edge: EdgeContext
    let state: LoopState
    let isSecure: Bool
    private(set) var context: ChannelHandlerContext?
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()
    /// Since when the body may come, and what of it has, up to where it is too large.
    private var bodyBegan = NIODeadline.now()
    private var bodyBytes = 0
    private var isOverLimit = false
    /// The first byte of a request has come.
    private var hasBegun = false
    private var requests = 0
    /// Among the handshakes, until a request has been answered or a session has taken it over.
    private var place: ConnectionPlace?
    /// A request is being answered.
    private var isBusy = false
    /// No request is read any more: the answer says so.
    private var isLast = false
    private var deadline: Scheduled<Void>?
    /// An answer is written, but the client takes it too slowly for another request to be answered yet.
    private var isHeld = false
    /// Done when the last answer is written out.
    private var lastAnswer: EventLoopFuture<Void>?
    /// The session loop that holds this connection's poll, to be told when the connection is gone.
    var pendingPoll: PendingPoll?
    private(set) var isGone = false
    /// Nothing has been answered on this connection yet.
    private(set) var isFresh = true
    /// Whom a PROXY header in front of the connection named; nil when there was none, or one of the peer's own.
    private(set) var proxied: ProxyHeader.Node?
    /// What was asked of JWTs when the request was let in.
    private(set) var jwtRules: JWTClaimRules?
    /// Where an opening waits for a server with room.
    let line = PlaceInLine()

    struct PendingPoll {
        var id: SessionID
        var ticket: UInt64
    }

    init(edge: EdgeContext, state: LoopState, isSecure: Bool, place: ConnectionPlace) {
        self.place = place
        self.edge = edge
        self.state = state
        self.isSecure = isSecure
    }

    // MARK: - connection

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.state.connections[ObjectIdentifier(self)] = self
        self.startDeadline(self.state.rules.config.limits.http.firstByte)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.deadline?.cancel()
        self.context = nil
        self.place = nil
        self.state.connectionClosed(self)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.isGone = true
        self.abandonPoll()
        self.line.leave()
        context.fireChannelInactive()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if self.isHeld, context.channel.isWritable { self.endAnswer(context) }
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .proxied(let source, _)? = event as? ProxyHeader { self.proxied = source }
        // A client that has shut its sending side down reads no answer worth waiting for, says every HTTP server.
        if case ChannelEvent.inputClosed? = event as? ChannelEvent { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case HTTPParserError.headerOverflow:
            self.refuse(.problem(431, "headers_too_large", "The request's header section is too large."))
        case is HTTPParserError:
            self.refuse(.problem(400, "bad_request", "This is not HTTP."))
        default:
            context.close(promise: nil)
        }
    }

    /// The server stops: no further request after the one in hand.
    func drain() {
        self.isLast = true
        if !self.isBusy { self.closeAfterLastAnswer() }
        if self.isHeld { self.startDeadline(self.state.rules.config.limits.handshake) }
    }

    /// The deadline of the stop has come.
    func cut() { self.context?.close(promise: nil) }

    /// Not for ever: a client may read nothing, and then nothing is ever written out.
    private func closeAfterLastAnswer() {
        guard let channel = self.context?.channel else { return }
        let deadline = self.state.loop.scheduleTask(in: self.state.rules.config.limits.handshake) {
            channel.close(promise: nil)
        }
        let written = self.lastAnswer ?? self.state.loop.makeSucceededVoidFuture()
        written.whenComplete { _ in
            deadline.cancel()
            channel.close(promise: nil)
        }
    }

    private func startDeadline(_ time: TimeAmount) {
        self.deadline?.cancel()
        let bound = NIOLoopBound(self, eventLoop: self.state.loop)
        self.deadline = self.state.loop.scheduleTask(in: time) { bound.value.deadlinePassed() }
    }

    private func deadlinePassed() {
        if self.isHeld { self.context?.close(promise: nil) }
        guard !self.isBusy else { return }
        if self.head == nil {
            self.context?.close(promise: nil)
        } else if self.isOverLimit {
            self.refuse(Self.bodyTooLarge)
        } else if let left = self.timeForBody() {
            self.startDeadline(left)
        } else {
            self.refuse(.problem(408, "request_timeout", "The request took too long to arrive."))
        }
    }

    /// How long a body that keeps the rate may still take before that is looked at again; nil when it does not keep it.
    private func timeForBody() -> TimeAmount? {
        let rate = Int64(self.state.rules.config.limits.http.bodyRate)
        let (product, overflow) = Int64(self.bodyBytes).multipliedReportingOverflow(by: 1_000_000_000)
        let earned = TimeAmount.nanoseconds((overflow ? .max : product) / max(1, rate))
        let left = self.bodyBegan + earned - .now()
        // Not at each byte of one that is just fast enough.
        return left > .zero ? max(left, .seconds(1)) : nil
    }

    /// The first bytes of something, before the decoder makes anything of them.
    func bytesArrived() {
        guard !self.hasBegun, !self.isBusy, self.head == nil else { return }
        self.hasBegun = true
        self.startDeadline(self.state.rules.config.limits.handshake)
    }

    /// Answers and closes: what follows on this connection cannot be made sense of.
    private func refuse(_ answer: HTTPAnswer) {
        guard !self.isBusy || self.head != nil else { return }
        self.isLast = true
        // The request has its answer, and the connection ends behind it.
        if self.isHeld { return }
        self.isBusy = true
        self.respond(answer)
    }

    // MARK: - requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            self.body.clear()
            self.isOverLimit = false
            self.bodyBegan = .now()
            self.bodyBytes = 0
            self.startDeadline(self.state.rules.config.limits.handshake)
            if head.headers.contains(name: "expect") {
                context.writeAndFlush(
                    self.wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
            }
        case .body(let part):
            if self.body.readableBytes + part.readableBytes > self.state.rules.bodyLimit {
                if !self.isOverLimit {
                    // What else comes has no more time than any request.
                    self.startDeadline(self.bodyBegan + self.state.rules.config.limits.handshake - .now())
                }
                self.isOverLimit = true
                self.body = ByteBuffer()
            } else if !self.isOverLimit {
                self.bodyBytes += part.readableBytes
                self.body.writeImmutableBuffer(part)
            }
        case .end:
            guard let head = self.head, !self.isBusy else { return }
            self.deadline?.cancel()
            self.isBusy = true
            self.hasBegun = false
            self.requests += 1
            if self.requests >= self.state.rules.config.limits.http.requests { self.isLast = true }
            if !head.isKeepAlive { self.isLast = true }
            let body = self.body
            self.body = ByteBuffer()
            if self.isOverLimit {
                self.respond(Self.bodyTooLarge)
            } else {
                self.handle(head, body)
            }
        }
    }

    private static let bodyTooLarge = HTTPAnswer.problem(
        413, "body_too_large", "The body is larger than max_batch allows.")

    private func handle(_ head: HTTPRequestHead, _ body: ByteBuffer) {
        var head = head
        let address: RequestTarget
        do throws(BadHost) {
            address = try RequestTarget(takingHostOf: &head)
        } catch {
            self.isLast = true
            self.respond(.problem(400, "bad_host", error.detail))
            return
        }
        let path = address.path
        let wantsUpgrade = Handshake.isUpgrade(connection: head.headers["connection"], upgrade: head.headers["upgrade"])
        // The decoder has stopped behind a request to upgrade: refused, this connection can carry no other.
        if wantsUpgrade { self.isLast = true }
        if let answer = self.file(path, head) {
            self.respond(answer)
            return
        }
        let target = PollTarget.parse(path: path)
        if let limit = target?.bodyLimit, body.readableBytes > limit {
            self.respond(.problem(413, "body_too_large", "A body has at most \(limit) bytes here."))
            return
        }
        var request = GateRequest(
            method: head.method.rawValue, path: target?.base ?? path, query: address.query,
            host: head.headers.first(name: "host"))
        request.origins = head.headers["origin"]
        request.authorization = head.headers["authorization"]
        request.cookies = head.headers["cookie"]
        request.protocols = Handshake.listTokens(head.headers["sec-websocket-protocol"])
        request.wantsUpgrade = wantsUpgrade && target?.takesUpgrade ?? true
        request.isPoll = target != nil
        if case .close? = target, let type = head.headers.first(name: "content-type"),
            FieldValue.essence(type).equals("application/x-www-form-urlencoded")
        {
            request.form = String(buffer: body)
        }
        if case .token? = target { request.isRefresh = true }
        request.preflightMethod = head.headers.first(name: "access-control-request-method")
        self.decide(request, Arrival(head: head, path: path, target: target, body: body))
    }

    /// What is served without asking the gate; nil for all else.
    private func file(_ path: String, _ head: HTTPRequestHead) -> HTTPAnswer? {
        self.edge.pages[path]?.answer(method: head.method, headers: head.headers)
            ?? self.state.rules.clientFiles?.answer(path: path, method: head.method, headers: head.headers)
    }

    /// What the transport needs of a request once the gate has let it pass.
    private struct Arrival: Sendable {
        var head: HTTPRequestHead
        var path: String
        var target: PollTarget?
        var body: ByteBuffer

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
            if let target = arrival.target, request.wantsUpgrade {
                self.lane(target, head: arrival.head, admission: admission)
            } else if let target = arrival.target {
                self.poll(
                    target, head: arrival.head, query: admission.forwardQuery, body: arrival.body, admission: admission)
            } else {
                self.upgrade(head: arrival.head, path: arrival.path, admission: admission)
            }
        }
    }

    /// Asks again when the signature is known to be good or not. The loop goes on meanwhile; a JWT that was verified
    /// here lately does not come this way.
    private func verify(_ jwt: String, _ request: GateRequest, _ arrival: Arrival) {
        let back = NIOLoopBound(self, eventLoop: self.state.loop)
        let rules = self.state.rules
        Task {
            let result = await rules.verifyJWT?(jwt) ?? .failure(.invalid)
            back.eventLoop.execute {
                var request = request
                // What was found under a configuration that is no more counts for nothing: it is looked at again.
                if back.value.state.rules === rules {
                    switch result {
                    case .success(let credential): back.value.state.keyring.remember(credential, for: jwt)
                    case .failure(let refusal): request.jwtRefusal = refusal
                    }
                }
                if back.value.context != nil { back.value.decide(request, arrival) }
            }
        }
    }

    func endHandshake() { self.place = nil }

    /// The connection goes on as something else that is no session yet.
    func handOverPlace() -> ConnectionPlace? {
        defer { self.place = nil }
        return self.place
    }

    /// For a session that the gate would let in; answers if there is none.
    func takePlace(_ admission: Admission, address: String) -> SessionPlace? {
        do throws(AdmissionDenial) {
            let place = try self.edge.admissions.open(
                admission, address: address, connection: self.place, limits: self.state.rules.config.limits,
                now: .now())
            self.place = nil
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

    func respond(_ answer: HTTPAnswer) {
        guard let context = self.context, !self.isGone else { return }
        self.isFresh = false
        // A session that is open has its requests here, as long as it lasts.
        if self.edge.isStopping || (self.edge.isHandedOver && self.pendingPoll == nil) { self.isLast = true }
        self.pendingPoll = nil
        self.place = nil
        var headers = answer.headers
        if answer.status.mayHaveResponseBody {
            headers.replaceOrAdd(name: "Content-Length", value: "\(answer.body.readableBytes)")
        }
        if headers["cache-control"].isEmpty { headers.add(name: "Cache-Control", value: "no-store, no-transform") }
        if self.isLast { headers.replaceOrAdd(name: "Connection", value: "close") }
        let isHead = self.head?.method == .HEAD
        let head = HTTPResponseHead(version: .http1_1, status: answer.status, headers: headers)
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        if answer.body.readableBytes > 0, answer.status.mayHaveResponseBody, !isHead {
            let written = answer.hold.map { hold in
                let written = context.eventLoop.makePromise(of: Void.self)
                written.futureResult.whenComplete { _ in hold.release() }
                return written
            }
            context.write(self.wrapOutboundOut(.body(.byteBuffer(answer.body))), promise: written)
        }
        context.flush()
        if self.isLast || context.channel.isWritable {
            self.endAnswer(context)
        } else {
            // Requests may come without end from a client that reads no answers. The next is not let through before
            // this one's end, which is nothing on the wire.
            self.isHeld = true
            self.startDeadline(self.state.rules.config.limits.http.idle)
        }
    }

    private func endAnswer(_ context: ChannelHandlerContext) {
        self.isHeld = false
        let done = context.eventLoop.makePromise(of: Void.self)
        self.lastAnswer = done.futureResult
        if self.isLast {
            self.closeAfterLastAnswer()
        } else {
            self.head = nil
            self.isBusy = false
            self.startDeadline(self.state.rules.config.limits.http.idle)
        }
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: done)
    }

    /// The answer that is being written is not wanted any more, and cannot be ended but with its connection.
    func cutAnswer(_ hold: AnswerHold?) {
        if hold?.isUnderWay == true { self.context?.close(promise: nil) }
    }

    /// Tells the loop that holds the session of a poll that its connection is gone.
    func abandonPoll() {
        guard let pending = self.pendingPoll else { return }
        self.pendingPoll = nil
        self.edge.onLoop(of: pending.id) { $0.session(pending.id)?.laneLost(ticket: pending.ticket) }
    }

    func clientFacts(_ head: HTTPRequestHead) -> ClientFacts {
        let peer = self.peer
        let path = self.state.rules.trustedProxies.path(
            peer: peer.address, forwardedFor: head.headers["x-forwarded-for"], forwarded: head.headers["forwarded"])
        return ClientFacts(
            address: path.client, port: path.hops.isEmpty ? peer.port : 0, proxies: path.hops, isSecure: self.isSecure,
            edge: self.context?.channel.localAddress)
    }

    /// Whose connection this is, before anything in a request is believed.
    var peer: (address: String, port: UInt16) {
        if let proxied = self.proxied { return (proxied.address.description, proxied.port) }
        let remote = self.context?.channel.remoteAddress
        let address = remote?.ipAddress
        // A listener of both families gives an IPv4 client's address in its mapped form.
        return (
            address.flatMap { IPAddress($0) }?.description ?? address ?? "unknown", UInt16(clamping: remote?.port ?? 0)
        )
    }
}

extension HTTPResponseStatus {
    /// RFC 9110 6.4.1.
    var mayHaveResponseBody: Bool { self.code >= 200 && self.code != 204 && self.code != 304 }
}

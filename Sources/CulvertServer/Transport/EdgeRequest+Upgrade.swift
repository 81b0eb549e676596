import CulvertCore
import NIOCore
import NIOHTTP1

/// The native transport: the upstream is dialled first, and the client's answer is the upstream's.
extension EdgeRequest {
    func upgrade(head: HTTPRequestHead, path: String, admission: Admission) {
        guard let key = self.handshakeKey(head) else { return }
        // A client's key serves for the upstream too: the answer to it is checked, then passed on.
        let offered = head.headers["sec-websocket-extensions"]
        let client = self.clientFacts(head)
        let request = ForwardedHeaders.request(
            client: head, admission: admission, basePath: path, key: key, extensions: offered,
            identityHeader: self.state.rules.config.authentication.identityHeader, facts: client)
        guard let place = self.takePlace(admission, address: client.address) else { return }
        self.dial(request, admission: admission, client: client, place: place, path: path, transport: .webSocket) {
            result in
            switch result {
            case .success(.connected(let connection)):
                self.complete(
                    connection, head: head, key: key, offered: offered, path: path, address: client.address,
                    admission: admission, place: place)
            case .success(.refused(let head, let body)):
                place.release()
                self.respond(.refusal(head, body, cookies: self.state.rules.tokenCookies))
            case .failure(let error):
                place.release()
                self.respond(self.edge.answer(to: error, route: admission.route))
            }
        }
    }

    /// `Sec-WebSocket-Key` of a handshake that is as it should be; answers any other.
    func handshakeKey(_ head: HTTPRequestHead) -> String? {
        let keys = head.headers["sec-websocket-key"]
        let problem = Handshake.check(
            method: head.method.rawValue, version: head.headers["sec-websocket-version"], keys: keys)
        if problem == nil, let key = keys.first { return key }
        self.respond(
            problem == .version
                ? .problem(
                    426, "version", "Only version 13 of the protocol is spoken here.",
                    headers: ["Sec-WebSocket-Version": "13", "Upgrade": "websocket"])
                : .problem(400, "bad_handshake", "The WebSocket handshake is malformed."))
        return nil
    }

    private func complete(
        _ connection: UpstreamConnector.Connection, head: HTTPRequestHead, key: String, offered: [String],
        path: String, address: String, admission: Admission, place: SessionPlace
    ) {
        let headers = connection.headers
        let fault = Handshake.checkResponse(
            connection: headers["connection"], upgrade: headers["upgrade"], accept: headers["sec-websocket-accept"],
            protocols: headers["sec-websocket-protocol"], extensions: headers["sec-websocket-extensions"], key: key,
            offeredProtocols: admission.forwardProtocols, offeredExtensions: offered)
        guard fault == nil, self.exchange.channel?.isActive == true else {
            connection.channel.cut()
            place.release()
            let failure = UpstreamFailure(isTimeout: false, reason: fault ?? "client gone")
            self.respond(self.edge.answer(to: failure, route: admission.route))
            return
        }
        var response = self.response(headers)
        response.addHandshake(key: key)
        let extensions = headers["sec-websocket-extensions"]
        for value in extensions { response.add(name: "Sec-WebSocket-Extensions", value: value) }
        if let chosen = headers.first(name: "sec-websocket-protocol") {
            response.add(name: "Sec-WebSocket-Protocol", value: chosen)
        } else if admission.answersAuthProtocol {
            response.add(name: "Sec-WebSocket-Protocol", value: CarrierNames.authProtocol)
        }
        let reserved = Handshake.reservedBits(forExtensions: extensions)
        func leg(_ sender: Endpoint, isSecure: Bool) -> WebSocketLeg {
            WebSocketLeg(
                sender: sender,
                scanner: FrameScanner(
                    sender: sender, messageLimit: admission.route.message.passing(from: sender), allowedRSV: reserved,
                    validateText: admission.route.validateText,
                    fragmentLimit: self.state.rules.config.limits.session.fragments,
                    controlStops: .closeAndOwnPongs),
                isSecure: isSecure)
        }
        let session = Session(
            facts: self.edge.facts(
                admission, head: head, path: path, address: address, jwtRules: self.jwtRules, state: self.state),
            credential: admission.credential, edge: self.edge, state: self.state,
            clientLeg: leg(.client, isSecure: self.front.isSecure),
            upstreamLeg: leg(.server, isSecure: connection.lease.server.config.isSecure), lease: connection.lease,
            place: place)
        do {
            try UpstreamConnector.install(session.upstreamLeg, on: connection.channel)
            // What the client may give a newer token to.
            if session.credential != nil { response.add(name: "Culvert-Session", value: session.id.description) }
            let state = self.state
            state.starting += 1
            defer { state.starting -= 1 }
            guard let ready = session.clientLeg.flatMap({ self.switchProtocols(to: $0, response) }) else {
                throw ChannelError.ioOnClosedChannel
            }
            // Counted twice until the first is given back.
            state.starting += 1
            ready.assumeIsolated().whenComplete { _ in
                session.start()
                state.starting -= 1
            }
        } catch {
            connection.channel.cut()
            self.exchange.abort()
            place.release()
        }
    }

    /// Of the head with which an upstream has switched protocols, what goes on to the client.
    func response(_ headers: HTTPHeaders) -> HTTPHeaders {
        ForwardedHeaders.response(headers, cookies: self.state.rules.tokenCookies)
    }

    /// Answers 101, and puts `handler` in the place of all that speaks HTTP.
    ///
    /// - Returns: done when the handler is there; nil when the connection is gone or goes now.
    func switchProtocols(to handler: any ChannelHandler, _ headers: HTTPHeaders) -> EventLoopFuture<Void>? {
        var headers = headers
        self.front.hsts?.add(to: &headers)
        let ready = try? self.exchange.switchProtocols(to: handler, headers)
        if ready == nil { self.exchange.abort() }
        return ready
    }
}

extension HTTPHeaders {
    /// RFC 6455 4.2.2.
    mutating func addHandshake(key: String) {
        self.add(name: "Upgrade", value: "websocket")
        self.add(name: "Connection", value: "Upgrade")
        self.add(name: "Sec-WebSocket-Accept", value: Handshake.acceptKey(for: key))
    }
}

extension HTTPAnswer {
    static let upgradeRequired = HTTPAnswer.problem(
        426, "upgrade_required", "This is a WebSocket URL.",
        headers: ["Upgrade": "websocket", "Sec-WebSocket-Version": "13"])

    /// An upstream's refusal, passed on as it is. A success that is no 101 is a fault of the upstream's, and so is a
    /// status of no class (RFC 9110 15).
    ///
    /// - Parameter cookies: Culvert's own, which no upstream sets.
    static func refusal(_ head: HTTPResponseHead, _ body: ByteBuffer, cookies: TokenCookies) -> HTTPAnswer {
        guard head.status.code >= 300 else {
            return .problem(502, "upstream_no_websocket", "The upstream does not speak WebSocket here.")
        }
        guard head.status.code < 600 else {
            return .problem(502, "upstream_bad_status", "The upstream answered with a status that HTTP does not have.")
        }
        var headers = ForwardedHeaders.response(head.headers, cookies: cookies)
        // RFC 9110 15.5.22: a 426 tells by which protocols the request would be served, and means them for the client.
        if head.status == .upgradeRequired {
            let offered = head.headers["upgrade"]
            for value in offered.isEmpty ? ["websocket"] : offered { headers.add(name: "Upgrade", value: value) }
        }
        if headers["cache-control"].isEmpty { headers.add(name: "Cache-Control", value: "no-store, no-transform") }
        var answer = HTTPAnswer(status: head.status, headers: headers, body: body)
        answer.reason = "upstream_refused"
        return answer
    }
}

import CulvertConfig
import CulvertCore
import NIOCore
import NIOHTTP1

/// Opens a session of the native transport: the upstream is dialled first, and the client's answer is the upstream's.
/// ``RequestRouter`` begins it, on the request's loop.
struct NativeOpening {
    private let handshake: ClientHandshake
    private let opening: SessionOpening
    private let admission: Admission
    /// Every `Sec-WebSocket-Extensions` line of the client.
    private let offered: [String]

    /// Nil for an opening that is answered already.
    init?(of request: EdgeRequest, path: String, _ admission: Admission) {
        guard let handshake = ClientHandshake(of: request),
            let opening = SessionOpening(of: request, path: path, transport: .webSocket, admission)
        else { return nil }
        self.handshake = handshake
        self.opening = opening
        self.admission = admission
        self.offered = request.head.headers["sec-websocket-extensions"]
    }

    func begin() {
        // A client's key serves for the upstream too: the answer to it is checked, then passed on.
        self.opening.dial(self.admission, key: self.handshake.key, extensions: self.offered) { result in
            let request = self.opening.request
            switch result {
            case .success(.connected(let connection)):
                self.complete(connection)
            case .success(.refused(let head, let body)):
                self.opening.place.release()
                request.respond(.refusal(head, body, cookies: request.state.rules.tokenCookies))
            case .failure(let error):
                self.opening.place.release()
                request.respond(self.answer(to: error))
            }
        }
    }

    private func answer(to error: any Error) -> HTTPAnswer {
        self.opening.request.edge.answer(
            to: error, route: self.admission.route, client: self.opening.client.address)
    }

    private func complete(_ connection: UpstreamConnector.Connection) {
        let request = self.opening.request
        let headers = connection.headers
        let fault = Handshake.checkResponse(
            connection: headers["connection"], upgrade: headers["upgrade"], accept: headers["sec-websocket-accept"],
            protocols: headers["sec-websocket-protocol"], extensions: headers["sec-websocket-extensions"],
            key: self.handshake.key, offeredProtocols: self.admission.forwardProtocols,
            offeredExtensions: self.offered)
        guard fault == nil, request.exchange.channel?.isActive == true else {
            connection.channel.cut()
            self.opening.place.release()
            let failure = UpstreamFailure(
                isTimeout: false, server: connection.lease.server.config.url, reason: fault ?? "client gone")
            request.respond(self.answer(to: failure))
            return
        }
        let session = self.session(over: connection)
        var response = self.response(headers)
        do {
            try UpstreamConnector.install(session.upstreamLeg, on: connection.channel)
            // The identifier with which the client can give the session a newer token.
            if session.credential != nil { response.add(name: "Culvert-Session", value: session.id.description) }
            let state = request.state
            state.ends.starting += 1
            defer { state.ends.starting -= 1 }
            guard let ready = self.handshake.switchProtocols(to: session.clientLeg, response) else {
                throw ChannelError.ioOnClosedChannel
            }
            // Counted twice until the first is given back.
            state.ends.starting += 1
            ready.assumeIsolated().whenComplete { _ in
                session.start()
                state.ends.starting -= 1
            }
        } catch {
            connection.channel.cut()
            request.exchange.abort()
            self.opening.place.release()
        }
    }

    private func session(over connection: UpstreamConnector.Connection) -> PassThroughSession {
        let (front, state) = (self.opening.request.front, self.opening.request.state)
        let route = self.admission.route
        let reserved = Handshake.reservedBits(forExtensions: connection.headers["sec-websocket-extensions"])
        func leg(_ sender: Endpoint, isSecure: Bool) -> WebSocketLeg {
            WebSocketLeg(
                sender: sender,
                scanner: FrameScanner(
                    sender: sender, messageLimit: route.message.passing(from: sender), allowedRSV: reserved,
                    validateText: route.validateText, fragmentLimit: state.rules.config.limits.session.fragments,
                    controlStops: .closeAndOwnPongs),
                isSecure: isSecure)
        }
        return PassThroughSession(
            facts: self.opening.facts(self.admission), credential: self.admission.credential, edge: front.edge,
            state: state, clientLeg: leg(.client, isSecure: front.isSecure),
            upstreamLeg: leg(.server, isSecure: connection.lease.server.config.isSecure), lease: connection.lease,
            place: self.opening.place)
    }

    /// The fields of the 101 for the client.
    ///
    /// - Parameter headers: of the upstream's.
    private func response(_ headers: HTTPHeaders) -> HTTPHeaders {
        var response = self.handshake.answer(self.opening.response(headers))
        for value in headers["sec-websocket-extensions"] {
            response.add(name: "Sec-WebSocket-Extensions", value: value)
        }
        if let chosen = headers.first(name: "sec-websocket-protocol") {
            response.add(name: "Sec-WebSocket-Protocol", value: chosen)
        } else if self.admission.answersAuthProtocol {
            response.add(name: "Sec-WebSocket-Protocol", value: CarrierNames.authProtocol)
        }
        return response
    }
}

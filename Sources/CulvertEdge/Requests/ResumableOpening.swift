import CulvertConfig
import CulvertCore
import NIOCore
import NIOHTTP1

/// Opens a session that outlives the connections of its client. ``PolledOpening`` and ``LaneOpening`` begin it, on the
/// request's loop.
struct ResumableOpening {
    let opening: SessionOpening
    /// The request's, with the subprotocols that go upstream.
    let admission: Admission

    /// Answers the request if there cannot be a session.
    ///
    /// - Parameter then: gets the session, not started yet, and the headers of the upstream's handshake.
    func begin(_ then: @escaping (ResumableSession, HTTPHeaders) -> Void) {
        var generator = SystemRandomNumberGenerator()
        let key = Handshake.key(from: (generator.next(), generator.next()))
        self.opening.dial(self.admission, key: key, extensions: []) { result in
            switch result {
            case .success(.connected(let connection)):
                do {
                    let session = try self.session(over: connection, key: key)
                    then(session, connection.headers)
                } catch {
                    connection.channel.cut()
                    self.fail(error)
                }
            case .success(.refused(let head, let body)):
                self.opening.place.release()
                let request = self.opening.request
                request.answer(.refusal(head, body, cookies: request.state.rules.tokenCookies), self.admission)
            case .failure(let error):
                self.fail(error)
            }
        }
    }

    private func fail(_ error: any Error) {
        self.opening.place.release()
        let request = self.opening.request
        request.answer(
            request.edge.answer(to: error, route: self.admission.route, client: self.opening.client.address),
            self.admission)
    }

    private func session(over connection: UpstreamConnector.Connection, key: String) throws -> ResumableSession {
        let request = self.opening.request
        let headers = connection.headers
        let fault = Handshake.checkResponse(
            connection: headers["connection"], upgrade: headers["upgrade"], accept: headers["sec-websocket-accept"],
            protocols: headers["sec-websocket-protocol"], extensions: headers["sec-websocket-extensions"], key: key,
            offeredProtocols: self.admission.forwardProtocols, offeredExtensions: [])
        let server = connection.lease.server.config.url
        if let fault { throw UpstreamFailure(isTimeout: false, server: server, reason: fault) }
        // The client has gone and cannot learn the session's identifier.
        if request.isGone { throw UpstreamFailure(isTimeout: false, server: server, reason: "client gone") }
        let limit = self.admission.route.message.kept(from: .server)
        let fragments = request.state.rules.config.limits.session.fragments
        let leg = WebSocketLeg(
            sender: .server,
            scanner: FrameScanner(
                sender: .server, messageLimit: limit, allowedRSV: 0, validateText: true, fragmentLimit: fragments),
            assembler: MessageAssembler(
                sender: .server, messageLimit: limit, fragmentLimit: fragments, keepsPings: true),
            isSecure: connection.lease.server.config.isSecure)
        try UpstreamConnector.install(leg, on: connection.channel)
        return ResumableSession(
            facts: self.opening.facts(self.admission), credential: self.admission.credential, edge: request.edge,
            state: request.state, upstreamLeg: leg, lease: connection.lease, place: self.opening.place)
    }

    /// The description of a session for its client, as JSON (docs/protocol.md, section 2).
    ///
    /// - Parameter headers: of the upstream's handshake.
    func description(of session: Session, headers: HTTPHeaders) -> String {
        let settings = self.opening.request.state.rules.settings
        let chosen = headers.first(name: "sec-websocket-protocol").map(Problem.quote) ?? "null"
        let expires = session.token.expires.map { ",\"expires\":\($0)" } ?? ""
        return "{\"session\":\"\(session.id)\",\"protocol\":\(chosen),\"hold\":\(Self.seconds(settings.hold))"
            + ",\"resume\":\(Self.seconds(settings.resume))"
            + ",\"max_message\":\(session.facts.route.message.kept(from: .client))"
            + ",\"max_batch\":\(settings.maxBatch)\(expires)}"
    }

    private static func seconds(_ time: TimeAmount) -> String {
        time.nanoseconds % 1_000_000_000 == 0
            ? "\(time.nanoseconds / 1_000_000_000)" : "\(Double(time.nanoseconds / 1_000_000) / 1000)"
    }
}

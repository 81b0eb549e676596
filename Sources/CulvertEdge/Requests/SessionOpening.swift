import CulvertConfig
import CulvertCore
import CulvertSystem
import NIOCore
import NIOHTTP1

/// An opening that the gate has let in, of any transport: its place among the sessions, and its way to a server. The
/// type of its transport owns it, and its request while a server is dialled, on the request's loop.
///
/// An opening takes time: its body comes slowly, it waits for a server with room, the server takes its time to answer.
/// The gate is asked again before a server is dialled and before the client is told that there is a session, because
/// tokens and the configuration may have changed meanwhile.
final class SessionOpening: RequestTask {
    let request: EdgeRequest
    /// The path of the session.
    let path: String
    let client: ClientFacts
    /// The session's, once there is one; released when there will be none.
    let place: SessionPlace
    /// The transport and the rules by which the gate let the opening in.
    private let transport: Transport
    private let rules: EdgeRules
    /// The place in the line for a server with room.
    private let line = PlaceInLine()

    /// Answers an opening whose route leads to another upstream now, or asks for no token any more.
    private static let configurationChanged = Rejection(
        503, "configuration_changed", "The configuration has changed meanwhile. Try again.",
        headers: [("Retry-After", "1")])

    /// Takes a place among the sessions. Nil where there is none; the request is answered then.
    init?(of request: EdgeRequest, path: String, transport: Transport, _ admission: Admission) {
        let client = request.clientFacts
        let rules = request.state.rules
        let place: SessionPlace
        do throws(AdmissionDenial) {
            place = try request.edge.admissions.open(
                admission, address: client.address, connection: request.front.place, limits: rules.config.limits,
                now: .now())
        } catch {
            request.answer(.denial(error, token: admission.token), admission)
            return nil
        }
        request.front.releasePlace()
        self.request = request
        self.path = path
        self.client = client
        self.place = place
        self.transport = transport
        self.rules = rules
    }

    // MARK: - RequestTask

    func clientLeft() { self.line.leave() }

    func inputEnded() {
        // The session would have no client. The dial fails, and the client gets that answer.
        if self.line.isStanding { self.line.leave() }
    }

    // MARK: - the upstream

    /// Dials a server for the opening, which is judged again before and after. `then` gets the outcome; an opening that
    /// is not let in any more, or of a client that has ended its direction, is answered here.
    ///
    /// - Parameters:
    ///   - admission: the request's, with the subprotocols that go upstream.
    ///   - key: `Sec-WebSocket-Key` of the upstream's handshake.
    ///   - extensions: offered to the upstream.
    func dial(
        _ admission: Admission, key: String, extensions: [String],
        then: @escaping (Result<UpstreamConnector.Outcome, any Error>) -> Void
    ) {
        let request = self.request
        guard !request.exchange.isInputClosed else {
            self.place.release()
            request.answer(.inputEnded, admission)
            return
        }
        let state = request.state
        let head = ForwardedHeaders.request(
            client: request.head, admission: admission, basePath: self.path, key: key, extensions: extensions,
            identityHeader: state.rules.config.authentication.identityHeader, facts: self.client)
        request.task = self
        self.line.mayDial = { self.lateRefusal(admission) == nil }
        request.edge.dial(
            head, admission: admission, client: self.client, line: self.line, place: self.place, state: state
        ).assumeIsolated().whenComplete { result in
            self.line.mayDial = { false }
            guard let rejection = self.lateRefusal(admission) else {
                then(result)
                return
            }
            if case .success(.connected(let connection)) = result { connection.channel.cut() }
            self.place.release()
            request.reject(rejection)
        }
    }

    /// The head for the client, made of the head with which the upstream has switched protocols.
    func response(_ headers: HTTPHeaders) -> HTTPHeaders {
        ForwardedHeaders.response(headers, cookies: self.request.state.rules.tokenCookies)
    }

    /// Of the session that there is now.
    func facts(_ admission: Admission) -> SessionFacts {
        self.request.edge.facts(
            admission, head: self.request.head, path: self.path, address: self.client.address,
            jwtRules: self.rules.config.authentication.jwtRules, state: self.request.state)
    }

    // MARK: - the gate, again

    /// The answer that a request like this one gets now; nil while it would be let in as it was.
    private func lateRefusal(_ admission: Admission) -> Rejection? {
        do throws(Rejection) {
            try self.judgeAgain(admission)
            return nil
        } catch {
            var rejection = error
            rejection.allowedOrigin = admission.allowedOrigin
            return rejection
        }
    }

    private func judgeAgain(_ admission: Admission) throws(Rejection) {
        let state = self.request.state
        let rules = state.rules
        let credential = admission.credential
        // Without a token nothing but the rules decides.
        if credential == nil, rules === self.rules { return }
        if let credential {
            // The claims of a JWT were looked at once, and are not here any more.
            let isOtherwiseAsked =
                credential.token.source == .jwt
                && self.rules.config.authentication.jwtRules != rules.config.authentication.jwtRules
            let fault = state.keyring.fault(of: credential, now: Clock.unixSeconds())
            if isOtherwiseAsked || fault != nil { throw Gate.lateRefusal(of: credential, fault) }
        }
        let route = try rules.gate.recheck(
            host: self.request.host, path: self.path, origins: self.request.origins, transport: self.transport,
            token: credential.flatMap { state.keyring.current($0)?.token })
        guard route.succeeds(admission.route, isAnonymous: credential == nil) else {
            throw Self.configurationChanged
        }
    }
}

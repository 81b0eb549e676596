import CulvertCore
import NIOCore
import NIOHTTP1

/// An opening takes time: its body comes slowly, it waits for a server with room, the server takes its time to answer.
/// The gate is asked again before a server is dialled and before the client is told that there is a session, because
/// tokens and the configuration may have changed meanwhile.
extension EdgeRequest {
    /// Answers an opening whose route leads to another upstream now, or asks for no token any more.
    private static let configurationChanged = Rejection(
        503, "configuration_changed", "The configuration has changed meanwhile. Try again.",
        headers: [("Retry-After", "1")])

    /// Dials a server for an opening that is judged again before and after. `then` gets the outcome; an opening that is
    /// not let in any more, or of a client that has ended its direction, is answered here.
    ///
    /// - Parameters:
    ///   - place: the session's; released when the opening is answered here.
    ///   - path: of the session.
    ///   - transport: by which the gate let the opening in.
    func dial(
        _ request: HTTPRequestHead, admission: Admission, client: ClientFacts, place: SessionPlace, path: String,
        transport: Transport, then: @escaping (Result<UpstreamConnector.Outcome, any Error>) -> Void
    ) {
        guard !self.exchange.isInputClosed else {
            place.release()
            self.answer(.inputEnded, admission)
            return
        }
        self.line.mayDial = { self.lateRefusal(admission, path: path, transport: transport) == nil }
        self.edge.dial(
            request, admission: admission, client: client, line: self.line, place: place, state: self.state
        ).assumeIsolated().whenComplete { result in
            self.line.mayDial = { false }
            guard let rejection = self.lateRefusal(admission, path: path, transport: transport) else {
                then(result)
                return
            }
            if case .success(.connected(let connection)) = result { connection.channel.cut() }
            place.release()
            self.reject(rejection)
        }
    }

    /// The answer that a request like this one gets now; nil while it would be let in as it was.
    private func lateRefusal(_ admission: Admission, path: String, transport: Transport) -> Rejection? {
        do throws(Rejection) {
            try self.judgeAgain(admission, path: path, transport: transport)
            return nil
        } catch {
            var rejection = error
            rejection.allowedOrigin = admission.allowedOrigin
            return rejection
        }
    }

    private func judgeAgain(_ admission: Admission, path: String, transport: Transport) throws(Rejection) {
        let rules = self.state.rules
        let credential = admission.credential
        // Without a token nothing but the rules decides.
        if credential == nil, rules === self.admittedBy { return }
        if let credential {
            // The claims of a JWT were looked at once, and are not here any more.
            let isOtherwiseAsked =
                credential.token.source == .jwt && self.jwtRules != rules.config.authentication.jwt?.rules
            let fault = self.state.keyring.fault(of: credential, now: Clock.unixSeconds())
            if isOtherwiseAsked || fault != nil { throw Gate.invalidToken }
        }
        let route = try rules.gate.recheck(
            host: self.host, path: path, origins: self.origins, transport: transport,
            token: credential.flatMap { self.state.keyring.current($0)?.token })
        guard route.succeeds(admission.route, isAnonymous: credential == nil) else {
            throw Self.configurationChanged
        }
    }
}

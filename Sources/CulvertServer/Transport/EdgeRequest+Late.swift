import CulvertCore

/// An opening takes time: its body comes slowly, it waits for a server with room, the server takes its time to answer.
/// The gate is asked again before a server is dialled and before the client is told that there is a session, because
/// tokens and the configuration may have changed meanwhile.
extension EdgeRequest {
    /// Answers an opening whose route leads to another upstream now, or asks for no token any more.
    private static let configurationChanged = Rejection(
        503, "configuration_changed", "The configuration has changed meanwhile. Try again.",
        headers: [("Retry-After", "1")])

    /// The answer that a request like this one gets now; nil while it would be let in as it was.
    ///
    /// - Parameter path: of the session.
    func lateRefusal(_ admission: Admission, path: String, transport: Transport) -> Rejection? {
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
        guard route.upstream == admission.route.upstream, route.authenticationRequired || credential == nil else {
            throw Self.configurationChanged
        }
    }
}

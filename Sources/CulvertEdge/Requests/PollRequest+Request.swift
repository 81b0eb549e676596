import CulvertCore

extension PollRequest {
    /// - Parameter request: that brought it, and was let in just now.
    init(kind: Kind, ticket: UInt64, admission: Admission, basePath: String, of request: EdgeRequest) {
        self.init(
            kind: kind, ticket: ticket,
            caller: Caller(
                credential: admission.credential, host: request.host, origins: request.origins,
                hasSessionsOrigin: admission.hasSessionsOrigin, transport: kind.transport),
            rules: request.state.rules, basePath: basePath, route: admission.route.name,
            isAnonymous: !admission.route.authenticationRequired)
    }
}

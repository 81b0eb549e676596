import CulvertCore

/// A `PUT` that gives an open session, of any transport, the token of the request. ``RequestRouter`` begins it, on the
/// request's loop.
struct TokenRenewal {
    let call: SessionCall
    /// Most bytes of a body, which means nothing here.
    let bodyLimit: Int?

    func begin() {
        self.call.request.exchange.collectBody(limit: self.bodyLimit ?? EdgeRequest.smallBody) { _ in
            self.call.ask(.refresh)
        }
    }
}

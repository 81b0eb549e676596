import CulvertCore

/// A `DELETE` of an open session, or a `POST` to its path for beacons: says the client's Close. ``RequestRouter``
/// begins it, on the request's loop.
struct SessionClosing {
    private let call: SessionCall
    private let frame: CloseFrame
    /// Most bytes of a body, which is not read here.
    private let bodyLimit: Int

    init(_ call: SessionCall, _ query: PollQuery, bodyLimit: Int?) throws(PollProblem) {
        self.call = call
        self.frame = try query.closeFrame()
        self.bodyLimit = bodyLimit ?? EdgeRequest.smallBody
    }

    func begin() {
        self.call.request.exchange.collectBody(limit: self.bodyLimit) { _ in self.call.ask(.close(self.frame)) }
    }
}

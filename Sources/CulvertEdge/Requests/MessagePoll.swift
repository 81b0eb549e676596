import CulvertCore

/// A `GET` of an open session: waits for messages. ``RequestRouter`` begins it, on the request's loop.
struct MessagePoll {
    private let call: SessionCall
    /// The number of the last message that the client has.
    private let ack: UInt64

    init(_ call: SessionCall, _ query: PollQuery) throws(PollProblem) {
        self.call = call
        self.ack = try query.number("ack") ?? 0
    }

    func begin() {
        self.call.request.exchange.collectBody(limit: EdgeRequest.smallBody) { _ in
            self.call.ask(.receive(ack: self.ack))
        }
    }
}

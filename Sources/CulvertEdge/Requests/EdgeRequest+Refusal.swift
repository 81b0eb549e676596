import CulvertCore
import CulvertSystem
import NIOCore
import NIOHTTP1

/// Tells operators of the requests that are refused.
extension EdgeRequest {
    /// Answers that have a line `upstream failed` of their own.
    private static let told = ["upstream_unreachable", "upstream_timeout", "upstream_full", "out_of_resources"]

    /// Logs and counts `answer` if it refuses a session, or keeps a request out of an open session. Answers of an open
    /// session itself, such as that a batch comes too early, are part of the protocol.
    func noteRefusal(_ answer: HTTPAnswer) {
        guard let reason = answer.reason, !self.isGone,
            self.isOpening || answer.status == .unauthorized || answer.status == .forbidden
        else { return }
        self.edge.refusals.count(self.head.isPreflight ? RefusalLog.preflightReason : reason)
        guard !Self.told.contains(bytesEqualTo: reason) else { return }
        self.edge.refusals.log(self.refusal(reason, answer))
    }

    private func refusal(_ reason: String, _ answer: HTTPAnswer) -> RefusalLog.Refusal {
        var refusal = RefusalLog.Refusal(
            status: Int(answer.status.code), reason: reason, isOpening: self.isOpening,
            client: self.clientFacts.address)
        refusal.limit = answer.refusedBy
        refusal.tell(of: self.head, host: self.host, gate: self.state.rules.gate)
        return refusal
    }
}

extension EdgeFront {
    /// Logs and counts a request that the connection itself refuses at its head, or for want of one. Whether it asks for a
    /// session, its path tells; without a path it may have.
    func refused(_ answer: HTTPAnswer, _ head: HTTPRequestHead?, on connection: ClientConnection) {
        guard let reason = answer.reason else { return }
        self.edge.refusals.count(head?.isPreflight == true ? RefusalLog.preflightReason : reason)
        self.edge.refusals.log(self.refusal(reason, answer.status, head, connection.channel))
    }

    private func refusal(
        _ reason: String, _ status: HTTPResponseStatus, _ head: HTTPRequestHead?, _ channel: (any Channel)?
    ) -> RefusalLog.Refusal {
        var refusal = RefusalLog.Refusal(
            status: Int(status.code), reason: reason, isOpening: true,
            client: self.clientFacts(head?.headers ?? [:], on: channel).address)
        guard let head else { return refusal }
        let target = PollTarget.parse(path: RequestTarget(head.uri, method: head.method.rawValue).path)
        refusal.isOpening = target?.sessionID == nil
        refusal.tell(of: head, host: head.headers.first(name: "host"), gate: self.state.rules.gate)
        return refusal
    }
}

extension RefusalLog.Refusal {
    /// - Parameter host: by which the route is looked for.
    fileprivate mutating func tell(of head: HTTPRequestHead, host: String?, gate: Gate) {
        self.isPreflight = head.isPreflight
        self.method = head.method.rawValue
        self.host = head.headers.first(name: "host")
        self.origin = head.headers.first(name: "origin")
        self.userAgent = head.headers.first(name: "user-agent")
        // Another form of target may hold a name and a password.
        guard head.uri.utf8.first == UInt8(ascii: "/") else { return }
        let path = RequestTarget(head.uri).path
        self.route = gate.routeName(host: host, path: PollTarget.parse(path: path)?.base ?? path)
        self.path = PollTarget.shown(path)
    }
}

extension HTTPRequestHead {
    /// A browser sends it before a request of another origin, and sends that request only if it passes.
    fileprivate var isPreflight: Bool {
        self.method == .OPTIONS && self.headers.contains(name: "access-control-request-method")
            && self.headers.contains(name: "origin")
    }
}

import CulvertCore
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
        self.edge.refusals.count(reason)
        guard !Self.told.contains(bytesEqualTo: reason) else { return }
        self.edge.refusals.log(self.refusal(reason, answer.status))
    }

    private func refusal(_ reason: String, _ status: HTTPResponseStatus) -> RefusalLog.Refusal {
        let headers = self.head.headers
        var refusal = RefusalLog.Refusal(
            status: Int(status.code), reason: reason, isOpening: self.isOpening, method: self.head.method.rawValue,
            origin: headers.first(name: "origin"), client: self.clientFacts(self.head).address,
            userAgent: headers.first(name: "user-agent"))
        // Another form of target may hold a name and a password.
        guard self.head.uri.utf8.first == UInt8(ascii: "/") else { return refusal }
        let path = RequestTarget(self.head.uri).path
        refusal.route = self.state.rules.gate.routeName(
            host: self.host, path: PollTarget.parse(path: path)?.base ?? path)
        refusal.path = Self.shown(path)
        return refusal
    }

    /// The path up to the marker of the session protocol: a session's identifier stands behind it, and whoever knows that
    /// may use the session where a route asks for no token.
    private static func shown(_ path: String) -> String {
        let path = ShownText.clean(path, limit: ShownText.longestPath)
        let segments = path.parts(at: UInt8(ascii: "/"))
        guard let marker = segments.firstIndex(where: { $0.equals(PollTarget.marker) }) else { return path }
        return segments[...marker].joined(separator: "/")
    }
}

import CulvertCore
import NIOCore
import NIOHTTP1

/// Answers to requests that no session answers.
extension HTTPAnswer {
    static let upgradeRequired = HTTPAnswer.problem(
        426, "upgrade_required", "This is a WebSocket URL.",
        headers: ["Upgrade": "websocket", "Sec-WebSocket-Version": "13"])

    /// To a request of the session protocol whose body, or whose query, is not as it should be.
    static func badBatch(_ problem: PollProblem) -> HTTPAnswer {
        .problem(problem.status, "bad_batch", problem.detail)
    }

    static func methodNotAllowed(at target: PollTarget) -> HTTPAnswer {
        let allowed =
            switch target {
            case .session: "GET, POST, DELETE"
            case .token: "PUT"
            case .open, .close: "POST"
            case .socket, .probe: "GET"
            }
        return .problem(
            405, "method_not_allowed", "The session protocol has no such request.", headers: ["Allow": allowed])
    }

    /// The refusal of an opening that goes round; nil for any other. Without this one opening of a route whose upstream
    /// leads to the edge itself would dial until the process has no descriptor left.
    static func loop(_ head: HTTPRequestHead) -> HTTPAnswer? {
        let detail: String
        switch LoopMark.ofProcess.finding(in: head.headers[LoopMark.field]) {
        case .passes: return nil
        case .returned:
            detail = "This server has sent the request itself: the address of an upstream leads back to it."
        case .tooMany:
            detail = "The request has passed \(LoopMark.most) proxies or more, by its field \(LoopMark.field)."
        }
        return .problem(508, "loop_detected", detail)
    }

    /// The answer with an upstream's refusal, which passes unchanged. A success other than 101 is a fault of the
    /// upstream, and so is a status outside of all classes (RFC 9110 15).
    ///
    /// - Parameter cookies: the cookies of Culvert's tokens, which no upstream may set.
    static func refusal(_ head: HTTPResponseHead, _ body: ByteBuffer, cookies: TokenCookies) -> HTTPAnswer {
        guard head.status.code >= 300 else {
            return .problem(502, "upstream_no_websocket", "The upstream does not speak WebSocket here.")
        }
        guard head.status.code < 600 else {
            return .problem(502, "upstream_bad_status", "The upstream answered with a status that HTTP does not have.")
        }
        var headers = ForwardedHeaders.response(head.headers, cookies: cookies)
        // RFC 9110 15.5.22: a 426 tells by which protocols the request would be served, and means them for the client.
        if head.status == .upgradeRequired {
            let offered = head.headers["upgrade"]
            for value in offered.isEmpty ? ["websocket"] : offered { headers.add(name: "Upgrade", value: value) }
        }
        // The form of a page may open a session, and a browser shows the refusal as a page of the edge's origin then. No
        // script runs there, since it would read the cookies of other routes. Policies add up, whatever the upstream's.
        headers.add(name: "Content-Security-Policy", value: "sandbox")
        if headers["cache-control"].isEmpty { headers.add(name: "Cache-Control", value: "no-store, no-transform") }
        var answer = HTTPAnswer(status: head.status, headers: headers, body: body)
        answer.reason = "upstream_refused"
        return answer
    }
}

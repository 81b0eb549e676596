import CulvertCore
import NIOHTTP1

/// Answers about a session, and about one that is not opened.
extension HTTPAnswer {
    static let inputEnded = HTTPAnswer.problem(
        400, "client_half_closed",
        "The client ended its direction of the connection behind the request. Keep it open for a session to begin.")

    static func failure(_ failure: PollFailure) -> HTTPAnswer {
        var headers = HTTPHeaders()
        if let seconds = failure.retryAfter { headers.add(name: "Retry-After", value: "\(seconds)") }
        return .problem(failure.status, failure.code, failure.detail, extra: failure.extra, headers: headers)
    }

    static func upstreamFailure(_ failure: UpstreamFailure) -> HTTPAnswer {
        // Read by a client that has ended its own direction alone.
        if failure.isClientGone { return .inputEnded }
        if failure.isFull {
            return .problem(
                503, "upstream_full", "No server of the upstream takes another session now.",
                headers: ["Retry-After": "1"])
        }
        if failure.isShortage {
            return .problem(
                503, "out_of_resources", "This server has no resources left to reach the upstream now.",
                headers: ["Retry-After": "1"])
        }
        // The time in which a service that has failed is usually back.
        let headers: HTTPHeaders = ["Retry-After": "5"]
        return failure.isTimeout
            ? .problem(504, "upstream_timeout", "The upstream did not answer in time.", headers: headers)
            : .problem(502, "upstream_unreachable", "The upstream could not be reached.", headers: headers)
    }
}

import CulvertCore
import NIOCore

/// A long-poll request of a session that exists, on its way to the loop that holds it.
struct PollRequest: Sendable {
    enum Kind: Sendable {
        case receive(ack: UInt64)
        case send(PollBatch)
        /// A batch is on its way: answered ``PollAnswer/empty`` if the session would take one now.
        case offer
        /// A large batch is here, and not taken apart yet: answered ``PollAnswer/empty`` if the session would take
        /// something of it now.
        case outline(BatchOutline)
        case close(CloseFrame)
        /// Nothing but its token, which is to be the session's.
        case refresh
        /// A WebSocket that would be its lane.
        case join(LaneLink)

        /// That the route must allow; nil for any.
        var transport: Transport? {
            switch self {
            case .join: .webSocket
            case .refresh: nil
            case .receive, .send, .offer, .outline, .close: .longPoll
            }
        }
    }

    var kind: Kind
    /// The work of the session's loop for the messages that the request brings, in messages (``LoopSlices``).
    var cost: Int {
        guard case .send(let batch) = self.kind else { return 0 }
        return LoopSlices.cost(of: batch, bytes: batch.payloadBytes)
    }
    /// Tells this request from every other, so that its connection's end can be matched with it.
    var ticket: UInt64
    var caller: Caller
    /// Under which the gate let it in.
    var rules: EdgeRules
    var basePath: String
    /// Name of the route that admitted it.
    var route: String
    /// The route asks for no token, and so the request has no subject whatever it carries.
    var isAnonymous: Bool
}

enum PollAnswer: Sendable {
    /// 204
    case empty
    /// 200. The hold counts a batch that may be large until the connection has written it or is gone.
    case batch(PollBatch, AnswerHold? = nil)
    case problem(PollFailure)
    /// The token of the request has died.
    case unauthorized(TokenFault)
    /// The configuration that is in force now does not let the request in.
    case rejected(Rejection)
    /// The session has the newer token, which dies in so many seconds, if that is known.
    case refreshed(expires: Int64?)
    /// What the session knows the lane by.
    case joined(UInt64)
}

struct PollFailure: Sendable {
    var status: Int
    var code: String
    var detail: String
    /// Members of the problem document, as JSON.
    var extra: [(String, String)] = []
    var retryAfter: Int?
    /// How the session ended, if it has.
    var end: CloseFrame?

    /// The same for a session that never was, one forgotten, and one of another token.
    static let unknownSession = PollFailure(status: 404, code: "no_session", detail: "There is no such session.")

    static func gone(_ frame: CloseFrame) -> PollFailure {
        let code = frame.code ?? .noStatus
        return PollFailure(
            status: 410, code: "session_ended", detail: "The session has ended.",
            extra: [("code", "\(code.rawValue)"), ("reason", Problem.quote(frame.reason))], end: frame)
    }

    static func gap(expected: UInt64) -> PollFailure {
        PollFailure(
            status: 409, code: "sequence_gap", detail: "Messages before these are missing.",
            extra: [("expected", "\(expected)")])
    }

    static func ackBeyond(last: UInt64) -> PollFailure {
        PollFailure(
            status: 409, code: "ack_beyond", detail: "The acknowledged message was never sent.",
            extra: [("last", "\(last)")])
    }

    static func rateLimited(_ wait: TimeAmount, who: String) -> PollFailure {
        PollFailure(
            status: 429, code: "rate_limited",
            detail: "The \(who) sends messages faster than its limit allows. None of the batch was taken.",
            retryAfter: Int(clamping: wait.nanoseconds / 1_000_000_000 + 1))
    }

    static let tooManyParked = PollFailure(
        status: 503, code: "too_many_polls",
        detail: "The limit of parked polls (limits.http.parked) is reached. Retry after 1 s.", retryAfter: 1)

    static let busy = PollFailure(
        status: 503, code: "upstream_busy", detail: "The upstream does not keep up. None of the batch was taken.",
        retryAfter: 1)
}

extension PollFailure {
    /// The answer to a token that the session is not moved to.
    init(_ reason: SessionToken.NotAdopted) {
        switch reason {
        case .notNewer:
            self.init(
                status: 409, code: "token_not_newer", detail: "The session has a token that is as new or newer.")
        case .full(let denial):
            self.init(
                status: denial.status, code: denial.code, detail: denial.detail,
                extra: [("scope", Problem.quote(denial.scope.rawValue))], retryAfter: denial.retryAfter)
        }
    }
}

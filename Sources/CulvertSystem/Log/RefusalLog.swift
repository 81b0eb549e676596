import CulvertCore
package import Logging
import Synchronization

/// Logs and counts the requests that are refused before a session has them. Each request has a line, and each reason a
/// count since the process began.
///
/// Anybody can cause such lines, so they have the level `notice`, and ``LogSink`` bounds them for each reason.
package final class RefusalLog: Sendable {
    package static let opening = "opening refused"
    package static let request = "request refused"
    package static let preflight = "preflight refused"
    /// Counts refused preflights, whatever refused them: the openings are counted by their reasons.
    package static let preflightReason = "preflight_refused"

    /// A limit of sessions that has refused an opening, and whose opening it was.
    package struct Limit: Sendable {
        /// `address`, `token`, `route` or `process`.
        package var scope: String
        /// The id of the opening's token, and its subject; nil without a token.
        package var token: String?
        package var subject: String?

        package init(scope: String, token: String?, subject: String?) {
            self.scope = scope
            self.token = token
            self.subject = subject
        }
    }

    /// A refused request, its text as the peer sent it.
    package struct Refusal {
        package var status: Int
        /// The `code` of the problem that it was answered with.
        package var reason: String
        /// It asked for a session. Otherwise it was meant for a session that is open.
        package var isOpening: Bool
        /// A browser asks whether it may send a request (Fetch, "CORS-preflight request"). It is neither of both.
        package var isPreflight = false
        /// Nil where no request could be decoded, like all that follows but the client.
        package var method: String?
        /// The `Host` of the request, as the client sent it.
        package var host: String?
        /// Nil where no route has the path.
        package var route: String?
        /// The path without its query and without a session's identifier. Nil when the target has no path.
        package var path: String?
        package var origin: String?
        package var client: String
        package var userAgent: String?
        /// Nil for what no limit of sessions has refused.
        package var limit: Limit?

        package init(
            status: Int, reason: String, isOpening: Bool, method: String? = nil, path: String? = nil, client: String
        ) {
            self.status = status
            self.reason = reason
            self.isOpening = isOpening
            self.method = method
            self.path = path
            self.client = client
        }
    }

    /// By reasons, of which there are as many as the source names.
    private let counts = Mutex<[String: Int]>([:])
    private let logger: Logger

    package init(logger: Logger) { self.logger = logger }

    /// How often each reason has occurred, in the order of their names.
    package var counted: [(reason: String, count: Int)] {
        self.counts.withLock(\.self).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    package func count(_ reason: String) { self.counts.withLock { $0[reason, default: 0] += 1 } }

    package func log(_ make: @autoclosure () -> Refusal) {
        guard self.logger.logLevel <= .notice else { return }
        let refusal = make()
        var metadata: Logger.Metadata = [
            "status": .stringConvertible(refusal.status), "reason": "\(refusal.reason)",
            "client": "\(refusal.client)",
        ]
        if let method = refusal.method { metadata["method"] = "\(ShownText.clean(method, limit: 32))" }
        if let host = refusal.host {
            metadata["host"] = "\(ShownText.clean(host, limit: ShownText.longestHost))"
        }
        if let route = refusal.route { metadata["route"] = "\(route)" }
        if let path = refusal.path { metadata["path"] = "\(path)" }
        if let limit = refusal.limit {
            metadata["scope"] = "\(limit.scope)"
            if let token = limit.token { metadata["token"] = "\(token)" }
            if let subject = limit.subject { metadata["subject"] = "\(subject)" }
        }
        metadata.add(origin: refusal.origin, userAgent: refusal.userAgent)
        let message = refusal.isPreflight ? Self.preflight : refusal.isOpening ? Self.opening : Self.request
        self.logger.notice("\(message)", metadata: metadata)
    }

    /// The texts by which a flood is counted: the message, and of a refusal its reason as well, so that a flood for one
    /// reason does not hide the lines of another.
    package static func kind(of message: String, _ metadata: Logger.Metadata) -> String {
        guard [self.opening, self.request, self.preflight].contains(message),
            case .string(let reason)? = metadata["reason"]
        else { return message }
        return "\(message): \(reason)"
    }
}

extension Logger.Metadata {
    /// Adds the client's words about itself, bounded and without characters that drive a terminal.
    package mutating func add(origin: String?, userAgent: String?) {
        if let origin { self["origin"] = "\(ShownText.clean(origin, limit: ShownText.longestOrigin))" }
        if let userAgent { self["user_agent"] = "\(ShownText.clean(userAgent, limit: ShownText.longestAgent))" }
    }
}

import CulvertCore
import Logging
import Synchronization

/// Logs and counts the requests that are refused before a session has them. Each request has a line, and each reason a
/// count since the process began.
///
/// Anybody can cause such lines, so they have the level `notice`, and ``LogSink`` bounds them for each reason.
final class RefusalLog: Sendable {
    static let opening = "opening refused"
    static let request = "request refused"
    static let preflight = "preflight refused"
    /// Counts refused preflights, whatever refused them: the openings are counted by their reasons.
    static let preflightReason = "preflight_refused"

    /// A refused request, its text as the peer sent it.
    struct Refusal {
        var status: Int
        /// The `code` of the problem that it was answered with.
        var reason: String
        /// It asked for a session. Otherwise it was meant for a session that is open.
        var isOpening: Bool
        /// A browser asks whether it may send a request (Fetch, "CORS-preflight request"). It is neither of both.
        var isPreflight = false
        /// Nil where no request could be decoded, like all that follows but the client.
        var method: String?
        /// The `Host` of the request, as the client sent it.
        var host: String?
        /// Nil where no route has the path.
        var route: String?
        /// The path without its query and without a session's identifier. Nil when the target has no path.
        var path: String?
        var origin: String?
        var client: String
        var userAgent: String?
    }

    /// By reasons, of which there are as many as the source names.
    private let counts = Mutex<[String: Int]>([:])
    private let logger: Logger

    init(logger: Logger) { self.logger = logger }

    /// How often each reason has occurred, in the order of their names.
    var counted: [(reason: String, count: Int)] {
        self.counts.withLock(\.self).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    func count(_ reason: String) { self.counts.withLock { $0[reason, default: 0] += 1 } }

    func log(_ make: @autoclosure () -> Refusal) {
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
        metadata.add(origin: refusal.origin, userAgent: refusal.userAgent)
        let message = refusal.isPreflight ? Self.preflight : refusal.isOpening ? Self.opening : Self.request
        self.logger.notice("\(message)", metadata: metadata)
    }

    /// The texts by which a flood is counted: the message, and of a refusal its reason as well, so that a flood for one
    /// reason does not hide the lines of another.
    static func kind(of message: String, _ metadata: Logger.Metadata) -> String {
        guard [self.opening, self.request, self.preflight].contains(message),
            case .string(let reason)? = metadata["reason"]
        else { return message }
        return "\(message): \(reason)"
    }
}

extension Logger.Metadata {
    /// Adds the client's words about itself, bounded and without characters that drive a terminal.
    mutating func add(origin: String?, userAgent: String?) {
        if let origin { self["origin"] = "\(ShownText.clean(origin, limit: ShownText.longestOrigin))" }
        if let userAgent { self["user_agent"] = "\(ShownText.clean(userAgent, limit: ShownText.longestAgent))" }
    }
}

import Foundation

/// How a client reaches its session.
package enum Transport: String, Sendable, CaseIterable {
    case webSocket = "websocket"
    case longPoll = "long-poll"
}

/// One entry of `routes:`.
package struct Route: Equatable, Sendable {
    /// Prefix on segment borders; begins with a slash.
    package var path: String
    /// Lower case, without a port; nil for every host.
    package var host: String?
    /// Name under `upstreams:`.
    package var upstream: String
    package var origins: OriginPolicy
    package var authenticationRequired: Bool
    package var transports: Set<Transport>
    /// Check the UTF-8 of uncompressed text of native WebSockets too.
    package var validateText: Bool

    package init(
        path: String, host: String?, upstream: String, origins: OriginPolicy, authenticationRequired: Bool,
        transports: Set<Transport>, validateText: Bool
    ) {
        self.path = path
        self.host = host
        self.upstream = upstream
        self.origins = origins
        self.authenticationRequired = authenticationRequired
        self.transports = transports
        self.validateText = validateText
    }

    /// What logs call it.
    package var name: String { (self.host ?? "") + self.path }
}

/// Finds a request's route: those of the request's host first, then the longest prefix.
package struct RouteTable: Equatable, Sendable {
    private let byHost: [String: [Route]]
    private let anyHost: [Route]

    package init(_ routes: [Route]) {
        let sorted = routes.sorted { $0.path.utf8.count > $1.path.utf8.count }
        self.anyHost = sorted.filter { $0.host == nil }
        self.byHost = Dictionary(grouping: sorted.filter { $0.host != nil }) { $0.host?.lowercased() ?? "" }
    }

    /// - Parameter host: the `Host` header; case and port do not matter.
    package func match(host: String?, path: String) -> Route? {
        if let host, let routes = self.byHost[Self.bareHost(host)],
            let route = routes.first(where: { PathPrefix.covers($0.path, path) })
        {
            return route
        }
        return self.anyHost.first { PathPrefix.covers($0.path, path) }
    }

    private static func bareHost(_ host: String) -> String {
        let lower = host.lowercased()
        if lower.first == "[" {
            return String(lower.prefix { $0 != "]" }) + "]"
        }
        return String(lower.prefix { $0 != ":" })
    }
}

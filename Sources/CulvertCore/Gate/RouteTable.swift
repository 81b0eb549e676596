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
    /// Of all its sessions together: `limits.route`, and what the route says of its own.
    package var limits: AdmissionLimits

    package init(
        path: String, host: String?, upstream: String, origins: OriginPolicy, authenticationRequired: Bool,
        transports: Set<Transport>, validateText: Bool, limits: AdmissionLimits = AdmissionLimits()
    ) {
        self.limits = limits
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
    private let byHost: [HostName: [Route]]
    private let anyHost: [Route]

    package init(_ routes: [Route]) {
        let sorted = routes.sorted { $0.path.utf8.count > $1.path.utf8.count }
        self.anyHost = sorted.filter { $0.host == nil }
        self.byHost = Dictionary(grouping: sorted.filter { $0.host != nil }) { HostName($0.host ?? "") }
    }

    /// - Parameter host: the `Host` header; case and port do not matter.
    package func match(host: String?, path: String) -> Route? {
        if !self.byHost.isEmpty, let host, let routes = self.byHost[HostName(host)],
            let index = self.index(in: routes, path)
        {
            return routes[index]
        }
        return self.index(in: self.anyHost, path).map { self.anyHost[$0] }
    }

    /// By index: to hand each route to a closure would count references up and down for all it has.
    private func index(in routes: [Route], _ path: String) -> Int? {
        for index in routes.indices where PathPrefix.covers(routes[index].path, path) { return index }
        return nil
    }
}

/// The name in a `Host` header, without its port; case does not matter. Looked up without being copied.
private struct HostName: Hashable, Sendable {
    private let text: Substring

    init(_ host: String) {
        let isLiteral = host.utf8.first == UInt8(ascii: "[")
        self.text = host.split(at: UInt8(ascii: isLiteral ? "]" : ":"))?.before ?? host[...]
    }

    static func == (one: HostName, other: HostName) -> Bool { one.text.equalsIgnoringCase(other.text) }

    func hash(into hasher: inout Hasher) {
        // The table is the operator's, so that nobody can fill it with names that collide.
        hasher.combine(
            self.text.withBytes { bytes in
                var hash: UInt64 = 0
                for byte in bytes { hash = hash &* 31 &+ UInt64(byte.lowercased) }
                return hash
            })
    }
}

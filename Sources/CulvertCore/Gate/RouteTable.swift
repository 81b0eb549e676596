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
    /// The limits of all sessions of the route together: `limits.route`, with the route's own keys in its place.
    package var limits: AdmissionLimits
    /// The carriers of tokens on this route; nil when the route has those of `authentication`.
    package var carriers: CarrierNames?
    /// The limits of its sessions' messages: its own keys, else those of `limits.message`.
    package var message: MessageLimits

    package init(
        path: String, host: String?, upstream: String, origins: OriginPolicy, authenticationRequired: Bool,
        transports: Set<Transport>, validateText: Bool, limits: AdmissionLimits = AdmissionLimits(),
        carriers: CarrierNames? = nil, message: MessageLimits = MessageLimits()
    ) {
        self.carriers = carriers
        self.limits = limits
        self.message = message
        self.path = path
        self.host = host
        self.upstream = upstream
        self.origins = origins
        self.authenticationRequired = authenticationRequired
        self.transports = transports
        self.validateText = validateText
    }

    /// The name in logs: host and path.
    package var name: String { (self.host ?? "") + self.path }

    /// Whether a session that was let in by `old` may go on by this route. It leads to the same upstream, and asks for a
    /// token if the session has one: otherwise the session would have no subject, and every client that knows its
    /// identifier could act as the subject that the upstream was told.
    package func succeeds(_ old: Route, isAnonymous: Bool) -> Bool {
        self.upstream == old.upstream && (self.authenticationRequired || isAnonymous)
    }
}

/// Finds a request's route: those of the request's host first, then the longest prefix.
package struct RouteTable: Equatable, Sendable {
    package enum Match: Equatable, Sendable {
        case none
        case route(Route)
        /// Servers may read the path as one of another route, which asks for something else.
        case ambiguous
    }

    /// The carriers of each route that names its own.
    var carriers: [CarrierNames] {
        (self.anyHost + self.byHost.values.joined()).compactMap(\.route.carriers)
    }

    private struct Entry: Equatable, Sendable {
        var route: Route
        var prefix: PathPrefix
    }

    private let byHost: [HostName: [Entry]]
    private let anyHost: [Entry]
    /// The length of the longest folded prefix, in bytes.
    private let longest: Int

    /// A route whose path no request can have is left out; the configuration has refused it.
    package init(_ routes: [Route]) {
        let entries = routes.compactMap { route in
            (try? PathPrefix(route.path)).map { Entry(route: route, prefix: $0) }
        }
        self.longest = entries.map(\.prefix.folded.count).max() ?? 0
        // Prefixes are compared in their decoded form: `/%61` is not longer than `/ab`.
        let sorted = entries.sorted { $0.prefix.bytes.count > $1.prefix.bytes.count }
        self.anyHost = sorted.filter { $0.route.host == nil }
        self.byHost = Dictionary(grouping: sorted.filter { $0.route.host != nil }) { HostName($0.route.host ?? "") }
    }

    /// - Parameter host: the `Host` header; case, port and a point at the end do not matter.
    package func find(host: String?, path: RequestPath) -> Match {
        let found = self.find(host: host, path, reading: 0)
        // Every reading of the path must lead to the same route.
        for index in 1..<path.readingCount where self.find(host: host, path, reading: index) != found {
            return .ambiguous
        }
        guard let found else { return .none }
        for index in 0..<path.readingCount where self.hasRival(found, host: host, path, reading: index) {
            return .ambiguous
        }
        return .route(self.entries(found.isOfHost, host)[found.index].route)
    }

    /// Nil also for an ambiguous path.
    package func match(host: String?, path: String) -> Route? {
        guard let path = try? RequestPath(path), case .route(let route) = self.find(host: host, path: path) else {
            return nil
        }
        return route
    }

    /// The place of an entry in the table.
    private struct Place: Equatable {
        var isOfHost: Bool
        var index: Int
    }

    private func entries(_ isOfHost: Bool, _ host: String?) -> [Entry] {
        guard isOfHost else { return self.anyHost }
        guard !self.byHost.isEmpty, let host else { return [] }
        return self.byHost[HostName(host)] ?? []
    }

    private func find(host: String?, _ path: RequestPath, reading: Int) -> Place? {
        path.withReading(reading) { bytes in
            for isOfHost in [true, false] {
                let entries = self.entries(isOfHost, host)
                // By index: to hand each route to a closure would count references up and down for all it has.
                for index in entries.indices where entries[index].prefix.covers(reading: bytes) {
                    return Place(isOfHost: isOfHost, index: index)
                }
            }
            return nil
        }
    }

    /// Whether a server that ignores case (IIS, ASP.NET, Express), or a slash at the end, would find the path below a
    /// narrower route that leads to the same upstream. Paths of other upstreams may differ by that alone.
    private func hasRival(_ found: Place, host: String?, _ path: RequestPath, reading: Int) -> Bool {
        path.withReading(reading) { bytes in
            let front = bytes.prefix(PathFold.front(for: self.longest))
            guard path.mayHaveOtherLetters, front.contains(where: { $0 >= 0x80 }) else {
                return self.hasRival(found, host, bytes)
            }
            let folded = PathFold.foldedFront(bytes, for: self.longest)
            return folded.withUnsafeBufferPointer { self.hasRival(found, host, $0) }
        }
    }

    private func hasRival(_ found: Place, _ host: String?, _ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        self.hasRival(found, amongHosts: true, host, bytes)
            || (!found.isOfHost && self.hasRival(found, amongHosts: false, host, bytes))
    }

    /// Searches by index, without a list of the two kinds, so that a decision allocates nothing.
    private func hasRival(
        _ found: Place, amongHosts isOfHost: Bool, _ host: String?, _ bytes: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        let own = self.entries(found.isOfHost, host)
        let entries = self.entries(isOfHost, host)
        let isSame = isOfHost == found.isOfHost
        let length = own[found.index].prefix.bytes.count
        for index in 0..<(isSame ? found.index : entries.count) {
            if isSame, entries[index].prefix.bytes.count == length { continue }
            if entries[index].route.upstream == own[found.index].route.upstream,
                entries[index].prefix.coversLoosely(bytes),
                !entries[index].prefix.isSame(withSlash: own[found.index].prefix)
            {
                return true
            }
        }
        return false
    }
}

/// The name in a `Host` header, without its port and the dot of the root; case makes no difference. A look-up copies
/// nothing, except for addresses, which have more than one spelling.
package struct HostName: Hashable, Sendable {
    private let text: Substring

    package init(_ host: String) {
        if host.utf8.first == UInt8(ascii: "[") {
            let inside = host.dropping(1).split(at: UInt8(ascii: "]"))?.before
            self.text = inside.flatMap(IPAddress.init)?.description[...] ?? host[...]
        } else {
            let name = host.split(at: UInt8(ascii: ":"))?.before ?? host[...]
            let hasRootPoint = name.utf8.count > 1 && name.utf8.last == UInt8(ascii: ".")
            self.text = hasRootPoint ? name.slice(0..<name.utf8.count - 1) : name
        }
    }

    package static func == (one: HostName, other: HostName) -> Bool { one.text.equalsIgnoringCase(other.text) }

    package func hash(into hasher: inout Hasher) {
        // Only the operator fills the table, so an attacker cannot fill it with names that collide.
        hasher.combine(
            self.text.withBytes { bytes in
                var hash: UInt64 = 0
                for byte in bytes { hash = hash &* 31 &+ UInt64(byte.lowercased) }
                return hash
            })
    }
}

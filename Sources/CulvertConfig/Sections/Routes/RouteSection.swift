import CulvertCore

/// The words of `authentication` in a route.
enum RouteAuthentication: String, CaseIterable {
    case required
    case none
}

/// `routes[]`.
package enum RouteSection: String, ConfigSection {
    case path, host, upstream, origins, authentication, carriers, transports
    case validateText = "validate_text"
    case limits

    package var entry: ConfigKey {
        switch self {
        case .path:
            ConfigKey(
                .text(.pathPrefix), .required,
                "A prefix on segment borders: `/chat` covers `/chat` and `/chat/a`, not `/chatter`.",
                example: "/")
        case .host:
            ConfigKey(
                .text(.hostName), .words("any"),
                "A name or a bracketed IPv6 address, compared with `Host` without port, case and a point at the "
                    + "end.",
                note: "There are no wildcards, and names of other alphabets stand in their `xn--` form.")
        case .upstream:
            ConfigKey(.text(.text), .required, "A name under `upstreams`.", example: "app")
        case .origins:
            ConfigKey(
                .section(OriginsSection.self), .defaults,
                "The origins from which browsers may connect.")
        case .authentication:
            ConfigKey(
                .oneOf(RouteAuthentication.self), .value("required"), "Whether a client needs a token.")
        case .carriers:
            ConfigKey(
                .section(CarriersSection.self), .words("those of [`authentication`](#authentication)"),
                "Where tokens travel on this route. A key that is absent has its value from `authentication`.")
        case .transports:
            ConfigKey(
                .list(.oneOf(Transport.self), atLeast: 1), .value("[websocket, long-poll]"),
                "The transports of the route.",
                note: "In the [session protocol](protocol.md), `websocket` allows WebSocket lanes, and `long-poll` "
                    + "allows requests.")
        case .validateText:
            ConfigKey(
                .boolean, .value("false"),
                "Whether the UTF-8 of uncompressed text of native WebSockets is checked (close code 1007).",
                note: "Long-polling always checks it.")
        case .limits:
            ConfigKey(
                .section(RouteLimitsSection.self), .words("those of `limits.route`"),
                "Limits of this route, each in place of the key of the same name of `limits.route` or `limits`.")
        }
    }
}

extension RouteSection {
    /// Reads `routes`.
    struct Reader {
        /// The names of upstreams; nil where the section is missing or no mapping, which has been reported.
        let upstreams: Set<String>?
        let limits: LimitsConfig
        /// The carriers of `authentication`.
        let carriers: CarrierNames

        func read(_ node: ConfigNode) -> [Route]? {
            guard let entries = node.list() else { return nil }
            if entries.isEmpty { node.fail("expected at least one route") }
            // By what they decode to: of two spellings of one path the second would never match.
            var seen: [Reach: ConfigPlace] = [:]
            return entries.compactMap { entry in
                guard let route = self.route(entry), let prefix = try? PathPrefix(route.path) else { return nil }
                let reach = Reach(host: route.host.map(HostName.init), prefix: prefix)
                if let other = seen[reach] {
                    entry.fail("another route has the same host and path (\(other.name)); take one of the two out")
                } else {
                    seen[reach] = entry.place
                }
                return route
            }
        }

        /// The requests that a route covers.
        private struct Reach: Hashable {
            var host: HostName?
            var prefix: PathPrefix
        }

        private func route(_ node: ConfigNode) -> Route? {
            guard let keys = node.section(RouteSection.self) else { return nil }
            for kept in [node, keys[.host], keys[.path]] { kept?.keepPlace() }
            let path = keys[.path]?.pathPrefix()
            let upstream = keys[.upstream]?.string()
            if let upstream, let upstreams, !upstreams.contains(upstream) {
                keys[.upstream]?.fail(
                    "no upstream is called \"\(upstream)\""
                        + Spelling.suggestion(for: upstream, among: upstreams.sorted()))
            }
            var transports = Set(Transport.allCases)
            if let list = keys[.transports]?.list() {
                transports = Set(list.compactMap { $0.choice(Transport.self) })
                if list.isEmpty { keys[.transports]?.fail("expected at least one of websocket, long-poll") }
            }
            let host = keys[.host]?.hostName()
            let authentication = keys.choice(.authentication, RouteAuthentication.self)
            let origins = OriginsSection.Reader().read(keys[.origins])
            let ownCarriers = keys[.carriers].flatMap(CarriersSection.Reader(base: self.carriers).read)
            // A misspelt key may be "carriers" or "authentication", and the error about it is enough.
            if authentication == .required, !keys.hasUnknownKeys {
                self.check(ownCarriers ?? self.carriers, origins, node, keys: keys)
            }
            let validateText = keys.bool(.validateText)
            let own = RouteLimitsSection.Reader(base: self.limits).read(keys[.limits])
            guard let path, let upstream else { return nil }
            return Route(
                path: path, host: host, upstream: upstream, origins: origins,
                authenticationRequired: authentication == .required, transports: transports,
                validateText: validateText, limits: own.opening, carriers: ownCarriers, message: own.message)
        }

        /// A route that asks for a token has a carrier for it. A cookie is none where every origin is allowed: a
        /// browser sends it along whatever page makes it connect, and so any page would use the visitor's token.
        private func check(
            _ carriers: CarrierNames, _ origins: OriginPolicy, _ route: ConfigNode, keys: ConfigMembers<RouteSection>
        ) {
            if carriers.isEmpty {
                (keys[.carriers] ?? route).fail(
                    "the route asks for a token, and every carrier of tokens is off; switch one on, or write"
                        + " \"authentication: none\"")
            }
            guard let cookie = carriers.cookie, let every = origins.allow.firstIndex(where: \.isEveryOrigin) else {
                return
            }
            let entries = keys[.origins]?.members()?["allow"]?.list() ?? []
            (entries.indices.contains(every) ? entries[every] : route).fail(
                "with every origin allowed any page could use the token in a visitor's cookie \"\(cookie)\"; write"
                    + " \"carriers: { cookie: none }\" in this route, or list the origins")
        }
    }
}

extension Route {
    /// - Parameter limits: those of the process, of which the route shows its own alone.
    func effective(_ limits: LimitsConfig) -> EffectiveValue {
        .section(RouteSection.self) { key in
            switch key {
            case .path: .text(self.path)
            case .host: self.host.map(EffectiveValue.text)
            case .upstream: .text(self.upstream)
            case .origins: self.origins.effective
            case .authentication:
                .word((self.authenticationRequired ? RouteAuthentication.required : RouteAuthentication.none).rawValue)
            case .carriers: self.carriers?.effective
            case .transports:
                .list(Transport.allCases.filter(self.transports.contains).map { .word($0.rawValue) })
            case .validateText: .flag(self.validateText)
            case .limits: self.effectiveLimits(limits).unlessEmpty
            }
        }
    }
}

import CulvertConfig
import CulvertCore
import CulvertEdge
import CulvertSystem
import CulvertTokens

/// Finds what is probably a mistake, although a start takes it. ``ProxyConfig/warnings(now:)`` makes it and asks it
/// about each part of the configuration.
struct ConfigWarnings {
    /// From this long before the end of a token, a key or a certificate on there is a warning.
    static let noticeTime: Int64 = 14 * 86_400

    /// The secret of the token in the sample `proxy.yaml`. Everybody can read it there.
    private static let sampleDigest = TokenDigest(of: "change-me")

    private let places: ConfigPlaces
    /// Unix seconds.
    private let now: Int64
    private(set) var found: [ConfigError] = []

    init(places: ConfigPlaces, now: Int64) {
        self.places = places
        self.now = now
    }

    mutating func warn(_ keyPath: String, _ message: String) {
        self.found.append(self.places[keyPath].error(message))
    }

    mutating func add(_ token: ConfigToken) {
        let id = token.token.id
        if token.digest == Self.sampleDigest, let place = token.place {
            self.found.append(
                place.error(
                    "the token \"\(id)\" has the secret of the sample, which is public; give the SHA-256 of a secret "
                        + "of your own, or take the token out"))
        }
        guard let expires = token.token.expires, let place = token.expiresPlace else { return }
        if expires <= self.now {
            self.found.append(
                place.error(
                    "the token \"\(id)\" expired at \(UnixTime.text(expires)) and opens no session; give a later "
                        + "moment, or take the token out"))
        } else if expires - self.now < Self.noticeTime {
            self.found.append(
                place.error(
                    "the token \"\(id)\" expires at \(UnixTime.text(expires)), in less than 14 days; give a later "
                        + "moment, or its client another token"))
        }
    }

    mutating func add(_ jwt: JWTConfig, _ keyPath: String) {
        for (index, key) in jwt.keys.enumerated() { self.add(key, "\(keyPath).keys[\(index)].until") }
        for (index, set) in jwt.sets.enumerated() {
            if case .url(_, let ca?) = set.place { self.addAuthorities(ca, "\(keyPath).jwks[\(index)].ca") }
        }
    }

    private mutating func add(_ key: ConfiguredJWTKey, _ keyPath: String) {
        guard let until = key.until, until - self.now < Self.noticeTime else { return }
        let end = UnixTime.text(until)
        self.warn(
            keyPath,
            until <= self.now
                ? "the key ended at \(end), and its tokens open no session; give a later moment, or take the key out"
                : "the key ends at \(end), in less than 14 days; have tokens signed with another key, or give a later "
                    + "moment")
    }

    // MARK: - certificates

    /// - Returns: the certificates that could be read.
    mutating func add(_ pairs: [CertificatePair], _ keyPath: String) -> [CertificateLook] {
        pairs.enumerated().compactMap { index, pair in
            self.add(pair, "\(keyPath).certificates[\(index)].certificate", isServed: true)
        }
    }

    /// - Parameter isServed: clients see it; else the servers of an upstream do.
    mutating func add(_ pair: CertificatePair, _ keyPath: String, isServed: Bool) -> CertificateLook? {
        guard let look = CertificateLook(pair.certificate) else { return nil }
        self.checkTime(look, pair.certificate, keyPath, refusedBy: isServed ? "clients" : "servers")
        if let stray = look.strayInChain {
            self.warn(
                keyPath,
                "\(pair.certificate): certificate number \(stray + 1) of the file did not issue the one before it; put "
                    + "the certificate of the key first, and behind each the certificate of its issuer")
        }
        return look
    }

    private mutating func checkTime(
        _ look: CertificateLook, _ file: String, _ keyPath: String, refusedBy peers: String
    ) {
        let end = UnixTime.text(look.notAfter)
        if look.notAfter <= self.now {
            self.warn(
                keyPath,
                "\(file): the certificate expired at \(end), and \(peers) refuse it; put a new one in its place")
        } else if look.notAfter - self.now < Self.noticeTime {
            self.warn(
                keyPath,
                "\(file): the certificate expires at \(end), in less than 14 days; put a new one in its place")
        }
        if look.notBefore > self.now {
            self.warn(
                keyPath,
                "\(file): the certificate counts from \(UnixTime.text(look.notBefore)) on, and \(peers) refuse it "
                    + "until then; look at the clock of this machine, or put another one in its place")
        }
    }

    /// A file of authorities that have all expired vouches for nothing, and neither do certificates of servers.
    mutating func addAuthorities(_ file: String, _ keyPath: String) {
        if CertificateLook.hasNoAuthority(file) {
            self.warn(
                keyPath,
                "\(file): no certificate of the file is that of an authority (basic constraints with CA:TRUE), so the "
                    + "file vouches for none; put the certificate of the authority that has issued it in the file")
        }
        guard let end = CertificateLook.latestEnd(of: file), end - self.now < Self.noticeTime else { return }
        self.warn(
            keyPath,
            "\(file): the last authority of the file \(end <= self.now ? "expired" : "expires") at "
                + "\(UnixTime.text(end)); put the new authority in the file")
    }

    // MARK: - modes of files

    /// The files whose modes the next start changes, because other users may read or change them. A start logs the change
    /// itself.
    ///
    /// - Parameter adminToken: the value of `CULVERT_ADMIN_TOKEN`, which takes the place of the file.
    static func modes(of config: ProxyConfig, adminToken: String?) -> [ConfigError] {
        guard let state = config.state else { return [] }
        var changes = StoreLook.modeChanges(state).map { ("state", $0.file, $0.change) }
        if let file = config.admin?.tokenFile, adminToken == nil, let change = AdminToken.modeChange(of: file) {
            changes.append(("admin.token_file", file, change))
        }
        return changes.map { keyPath, file, change in
            config.places[keyPath].error(
                "\(file): other users may read or change this file (mode \(change.old)), and the next start changes its "
                    + "mode to \(change.new)")
        }
    }

    // MARK: - upstreams and addresses

    mutating func add(_ upstream: UpstreamConfig, _ keyPath: String, beside listeners: [ListenConfig]) {
        self.addKeysOfTLS(upstream, keyPath)
        for (index, server) in upstream.servers.enumerated() {
            self.add(server, "\(keyPath).servers[\(index)].url", among: listeners)
        }
        if let pair = upstream.clientCertificate {
            _ = self.add(pair, keyPath + ".client_certificate.certificate", isServed: false)
        }
        if let ca = upstream.ca { self.addAuthorities(ca, keyPath + ".ca") }
    }

    /// Warns of keys for TLS where no server speaks it.
    private mutating func addKeysOfTLS(_ upstream: UpstreamConfig, _ keyPath: String) {
        guard !upstream.servers.contains(where: \.isSecure) else { return }
        let keys = [
            ("ca", upstream.ca), ("sni", upstream.serverName),
            ("client_certificate.certificate", upstream.clientCertificate?.certificate),
        ]
        for (key, value) in keys where value != nil {
            self.warn(
                "\(keyPath).\(key)",
                "of no use, because no server of the upstream has a wss URL; write wss:// for a server with TLS, or take "
                    + "the key out")
        }
    }

    /// Warns of a server that is a listener of the same file: Culvert would be the client of itself.
    private mutating func add(_ server: UpstreamServer, _ keyPath: String, among listeners: [ListenConfig]) {
        guard let index = listeners.firstIndex(where: { Self.isSame(server, $0) }) else { return }
        self.warn(
            keyPath,
            "this is the listener \(listeners[index].address) of Culvert itself "
                + "(\(self.places.name("listen[\(index)].address"))), and sessions end with 508 (loop_detected); write the "
                + "address of your server")
    }

    private static func isSame(_ server: UpstreamServer, _ listener: ListenConfig) -> Bool {
        let place = ListenPlace(host: listener.host, port: listener.port)
        guard place.overlaps(ListenPlace(host: server.host, port: server.port)) else { return false }
        // A listener on every address has that of this machine, and no address of another one.
        return !Self.isEveryAddress(listener.host) || Self.isEveryAddress(server.host) || Self.isLoopback(server.host)
    }

    /// Warns of an admin API whose token can be read on the way to it.
    mutating func add(_ admin: AdminConfig) {
        guard admin.socket == nil, admin.tls == nil, !Self.isLoopback(admin.host) else { return }
        self.warn(
            "admin.address",
            "\(admin.address) can be reached over the network, and the admin token crosses it in plain text; add \"tls\" "
                + "to the section, or write an address such as 127.0.0.1:9901")
    }

    private static func isLoopback(_ host: String) -> Bool {
        guard let address = IPAddress(host) else { return host.asciiLowercased.equals("localhost") }
        return address.description.equals("::1") || (address.isIPv4 && address.description.begins(with: "127."))
    }

    private static func isEveryAddress(_ host: String) -> Bool {
        ["0.0.0.0", "::"].contains(IPAddress(host)?.description ?? "")
    }

    // MARK: - routes

    /// Warns of a path that the session protocol has for itself (`docs/protocol.md`).
    private mutating func addProtocolPath(_ path: String, _ keyPath: String) {
        let segments = path.split(separator: "/")
        guard let last = segments.last, last == PollTarget.marker else { return }
        let front = "/" + segments.dropLast().joined(separator: "/")
        self.warn(
            keyPath,
            "\(path) is where the session protocol of the path \(front) has its requests; write \(front), or another last "
                + "segment than _poll")
    }

    /// Warns of a path that looks like a pattern. Culvert takes its wildcard for a part of the path.
    mutating func addPath(_ path: String, _ keyPath: String) {
        guard let prefix = Self.front(ofPattern: path) else { return }
        let covered = prefix == "/" ? "every path" : "\(prefix) and \(prefix)/a"
        self.warn(
            keyPath,
            "\(path) looks like a pattern, but a path is a prefix without wildcards; write \(prefix), which covers "
                + covered)
    }

    /// - Parameters:
    ///   - keyPath: of the token's `routes`.
    ///   - prefixes: the paths of all routes.
    mutating func addRoutes(of token: Token, _ keyPath: String, among prefixes: [PathPrefix]) {
        for (index, path) in token.routes.enumerated() { self.addPath(path, "\(keyPath)[\(index)]") }
        let isOfUse = token.routes.contains { path in
            guard let opened = try? PathPrefix(path) else { return false }
            return prefixes.contains { $0.meets(opened) }
        }
        guard !isOfUse else { return }
        self.warn(
            keyPath,
            "the token \"\(token.id)\" opens no path of any route; correct the paths, or take the token out")
    }

    /// The segments of a path in front of its first wildcard, as a path; nil for a path without a wildcard.
    private static func front(ofPattern path: String) -> String? {
        let segments = path.split(separator: "/")
        guard let index = segments.firstIndex(where: { Self.isWildcard($0) }) else { return nil }
        return "/" + segments[..<index].joined(separator: "/")
    }

    /// Whether a segment is one that routers of applications take for a wildcard: `*`, `:id` or `{id}`.
    private static func isWildcard(_ segment: Substring) -> Bool {
        segment.contains("*") || (segment.hasPrefix(":") && segment.utf8.count > 1)
            || (segment.hasPrefix("{") && segment.hasSuffix("}"))
    }

    /// - Parameters:
    ///   - served: the certificates of all listeners.
    ///   - carriers: those of `authentication`.
    mutating func add(_ route: Route, _ keyPath: String, served: [CertificateLook], carriers: CarrierNames) {
        if let host = route.host, !served.isEmpty, !served.contains(where: { $0.covers(host) }) {
            self.warn(
                keyPath + ".host",
                "no certificate of a listener is for \(host), and clients refuse the others; add one that has the name "
                    + "among its subject alternative names")
        }
        self.addPath(route.path, keyPath + ".path")
        self.addProtocolPath(route.path, keyPath + ".path")
        if !route.origins.allow.isEmpty, route.hidesTokenFromBrowsers(default: carriers) {
            self.warn(
                keyPath,
                "no browser can use this route, because a page can set no Authorization header on a WebSocket and the "
                    + "route takes a token from no other place; switch on another carrier, or add \"long-poll\"")
        }
        // An empty list is the operator's word that no browser is to come.
        if route.origins.allow.isEmpty, !self.places.contains(keyPath + ".origins.allow") {
            self.warn(
                keyPath,
                "no browser can use this route, because a page's requests have an Origin and \"origins.allow\" lists "
                    + "none; list the origins of your pages, or write \"origins: { allow: [] }\" if no page is to come")
        }
    }

    mutating func add(_ block: AddressBlock, _ keyPath: String) {
        if let network = block.network {
            self.warn(
                keyPath,
                "\(block) is the block \(network), every address of which is trusted; write \(network), or the address "
                    + "alone for one proxy")
        }
        guard block.isLargerThanPrivate else { return }
        self.warn(
            keyPath,
            "\(block) has more addresses than a network of your own, and every client in it can claim any address; "
                + "list the addresses of your proxies")
    }
}

extension Route {
    /// Whether the route is for WebSockets with a token alone, and takes the token from the Authorization header alone. A
    /// browser's WebSocket has no such header (WHATWG WebSockets, "new WebSocket").
    fileprivate func hidesTokenFromBrowsers(default carriers: CarrierNames) -> Bool {
        let carriers = self.carriers ?? carriers
        return self.authenticationRequired && self.transports == [.webSocket] && carriers.authorization
            && carriers.queryParameter == nil && carriers.cookie == nil && !carriers.subprotocol
    }
}

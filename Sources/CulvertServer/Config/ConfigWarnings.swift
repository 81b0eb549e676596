import CulvertCore

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

    mutating func add(_ key: ConfiguredJWTKey, _ keyPath: String) {
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

    /// A file of authorities that have all expired vouches for nothing.
    mutating func addAuthorities(_ file: String, _ keyPath: String) {
        guard let end = CertificateLook.latestEnd(of: file), end - self.now < Self.noticeTime else { return }
        self.warn(
            keyPath,
            "\(file): the last authority of the file \(end <= self.now ? "expired" : "expires") at "
                + "\(UnixTime.text(end)); put the new authority in the file")
    }

    // MARK: - routes

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

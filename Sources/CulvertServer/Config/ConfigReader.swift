import CulvertCore
import Logging
import NIOCore
import Yams

/// Reads the sections of a configuration. Each gives nil, and has said why, when it cannot be used.
struct ConfigReader {
    /// Relative paths of files begin here.
    let directory: String

    static let sections = [
        "listen", "routes", "authentication", "upstreams", "session", "limits", "admin", "state", "log",
        "trusted_proxies", "reload", "drain", "takeover", "client",
    ]

    func read(_ root: ConfigNode) -> ProxyConfig? {
        let deeper = [
            "tls": "listen[].tls", "tokens": "authentication.tokens", "jwt": "authentication.jwt",
            "origins": "routes[].origins",
        ]
        guard let top = root.section(Self.sections, required: ["listen", "routes", "upstreams"], deeper: deeper) else {
            return nil
        }
        let limits = self.limits(top["limits"])
        let upstreams = top["upstreams"].flatMap { self.upstreams($0, handshake: limits.handshake) }
        let trusted = top["trusted_proxies"]?.list()?.compactMap(self.block) ?? []
        let admin = self.admin(top["admin"])
        let listen = top["listen"].flatMap { self.listen($0, admin: admin, trustsProxies: !trusted.isEmpty) }
        let authentication = self.authentication(top["authentication"])
        let session = self.session(top["session"])
        let known = top["upstreams"]?.node.mapping == nil ? nil : top["upstreams"]?.members()
        let routes = top["routes"].flatMap {
            self.routes($0, upstreams: known, limits: limits, carriers: authentication.carriers)
        }
        let state = self.state(top["state"], isNeeded: admin != nil)
        let log = self.log(top["log"])
        let reload = self.reload(top["reload"])
        let drain = self.drain(top["drain"])
        let takeover = top["takeover"].flatMap(self.socketPath)
        PathCollisions.report(
            [
                ("admin.address", admin?.socket), ("admin.token_file", admin?.tokenFile), ("state", state),
                ("takeover", takeover),
            ], to: root.errors)
        guard let upstreams, let listen, let routes else { return nil }
        var config = ProxyConfig(
            listen: listen, routes: routes, authentication: authentication, upstreams: upstreams, session: session,
            limits: limits, admin: admin, state: state, log: log, trustedProxies: trusted)
        config.reload = reload
        config.drain = drain
        config.takeover = takeover
        config.client = top["client"].flatMap(self.client)
        config.places = ConfigPlaces(file: root.errors.file, root.errors.places)
        return config
    }

    func resolve(_ path: String) -> String {
        path.hasPrefix("/") || self.directory.isEmpty ? path : self.directory + "/" + path
    }

    /// The path of a file that has to be there.
    func file(_ node: ConfigNode) -> String? {
        guard let text = node.string() else { return nil }
        if text.isEmpty { node.fail("expected the path of a file") }
        node.keepPlace()
        return self.resolve(text)
    }

    private func block(_ node: ConfigNode) -> AddressBlock? {
        guard let text = node.string() else { return nil }
        node.keepPlace()
        if let block = AddressBlock(text) { return block }
        node.fail("expected an address or a block of them, such as 10.0.0.0/8 or ::1")
        return nil
    }

    // MARK: - listen

    private func listen(_ node: ConfigNode, admin: AdminConfig?, trustsProxies: Bool) -> [ListenConfig]? {
        guard let entries = node.list() else { return nil }
        if entries.isEmpty { node.fail("expected at least one listener") }
        let adminPlace = admin.flatMap { $0.socket == nil ? ListenPlace(host: $0.host, port: $0.port) : nil }
        var seen: [(address: String, place: ListenPlace, keyPath: String)] = []
        return entries.compactMap { entry in
            let deeper = [
                "hsts": "tls.hsts", "certificates": "tls.certificates", "minimum_version": "tls.minimum_version",
            ]
            guard
                let keys = entry.section(
                    ["address", "tls", "proxy_protocol"], required: ["address"], deeper: deeper),
                let address = keys["address"].flatMap(self.address)
            else { return nil }
            let proxyProtocol = keys["proxy_protocol"]?.bool() ?? false
            if proxyProtocol, !trustsProxies {
                keys["proxy_protocol"]?.fail("of no use without \"trusted_proxies\": nobody could connect")
            }
            let listen = ListenConfig(
                host: address.host, port: address.port, tls: keys["tls"].flatMap(self.tls),
                proxyProtocol: proxyProtocol)
            let place = ListenPlace(host: listen.host, port: listen.port)
            keys["address"]?.keepPlace()
            let places = ConfigPlaces(file: entry.errors.file, entry.errors.places)
            if let other = seen.first(where: { $0.place.overlaps(place) }) {
                keys["address"]?.fail(
                    "the listener \(other.address) takes connections there (\(places.name(other.keyPath))); choose "
                        + "another port")
            }
            if let admin, adminPlace?.overlaps(place) ?? false {
                keys["address"]?.fail(
                    "the admin API listens at \(admin.address) (\(places.name("admin.address"))); choose another port "
                        + "for one of them")
            }
            seen.append((listen.address, place, entry.path + ".address"))
            return listen
        }
    }

    /// `host:port`, IPv6 in brackets.
    func address(_ node: ConfigNode) -> (host: String, port: Int)? {
        guard let text = node.string() else { return nil }
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65535).contains(port)
        else {
            node.fail("expected an address and port, such as 0.0.0.0:8443 or [::1]:8443")
            return nil
        }
        do throws(ListenHost.Fault) {
            return (try ListenHost.parse(String(text[..<colon]), port: port), port)
        } catch {
            node.fail(error.message)
            return nil
        }
    }

    func tls(_ node: ConfigNode) -> TLSConfig? {
        guard let keys = node.section(["certificates", "minimum_version", "hsts"], required: ["certificates"]) else {
            return nil
        }
        let certificates = keys["certificates"]?.list()?.compactMap(self.certificatePair)
        if certificates?.isEmpty == true { keys["certificates"]?.fail("expected at least one certificate") }
        let version = keys["minimum_version"].map { $0.choice(TLSConfig.Version.self) ?? .v1_2 } ?? .v1_2
        let hsts = keys["hsts"].flatMap(self.strictTransport)
        return certificates.map { TLSConfig(certificates: $0, minimumVersion: version, hsts: hsts) }
    }

    // MARK: - authentication

    private func authentication(_ node: ConfigNode?) -> AuthenticationConfig {
        var config = AuthenticationConfig(
            tokens: [], queryParameter: "access_token", cookie: "culvert_token", identityHeader: "X-Forwarded-User")
        guard
            let keys = node?.section(
                ["tokens"] + Self.carrierKeys + ["identity_header", "close_code", "expiry_grace", "jwt"])
        else {
            return config
        }
        config.carriers = self.carriers(keys, over: config.carriers)
        config.identityHeader = keys["identity_header"].flatMap(self.identityHeader) ?? config.identityHeader
        if let code = keys["close_code"]?.integer(4000...4999) {
            config.closeCode = CloseCode(rawValue: UInt16(clamping: code))
        }
        config.expiryGrace = keys["expiry_grace"]?.time(.zero ... .hours(24)) ?? config.expiryGrace
        config.jwt = keys["jwt"].flatMap(self.jwt)
        var ids: Set<String> = []
        var digests: Set<TokenDigest> = []
        for entry in keys["tokens"]?.list() ?? [] {
            guard let token = self.token(entry) else { continue }
            if !ids.insert(token.token.id).inserted { entry.fail("another token has the id \"\(token.token.id)\"") }
            if !digests.insert(token.digest).inserted { entry.fail("another token has the same sha256") }
            config.tokens.append(token)
        }
        return config
    }

    private func token(_ node: ConfigNode) -> ConfigToken? {
        let required = ["id", "sha256", "subject", "routes"]
        guard let keys = node.section(required + ["expires"], required: required) else { return nil }
        let id = keys["id"]?.string()
        let digest = keys["sha256"].flatMap(self.digest)
        let subject = keys["subject"].flatMap(self.subject)
        let routes = keys["routes"].flatMap(self.tokenRoutes)
        let expires = keys["expires"].flatMap(self.date)
        guard let id, let digest, let subject, let routes else { return nil }
        return ConfigToken(
            token: Token(id: id, source: .config, subject: subject, routes: routes, expires: expires), digest: digest,
            place: keys["sha256"]?.place, idPlace: keys["id"]?.place, expiresPlace: keys["expires"]?.place)
    }

    /// Unix seconds.
    func date(_ node: ConfigNode) -> Int64? {
        guard let text = node.string() else { return nil }
        if let seconds = UnixTime.parse(text) { return seconds }
        node.fail("expected a date and time, such as 2027-01-01T00:00:00Z")
        return nil
    }

    /// Whatever is wrong with it, the value is not repeated: it may be the token itself, pasted by mistake.
    private func digest(_ node: ConfigNode) -> TokenDigest? {
        guard let text = node.string() else { return nil }
        let digits = text.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        guard digits.count == 64, text.utf8.count == 64 else {
            node.fail("expected the SHA-256 of the token as 64 hexadecimal digits")
            return nil
        }
        let digest = TokenDigest(
            bytes: stride(from: 0, to: 64, by: 2).map { UInt8(truncatingIfNeeded: digits[$0] << 4 | digits[$0 + 1]) })
        if digest == TokenDigest(of: "") { node.fail("this is the SHA-256 of an empty text, which is no token") }
        return digest
    }

    /// A token in the sense of RFC 9110 5.6.2.
    func name(_ node: ConfigNode) -> String? {
        guard let text = node.string() else { return nil }
        let marks = "!#$%&'*+-.^_`|~".utf8
        let isName =
            !text.isEmpty
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || marks.contains(byte)
            }
        if !isName { node.fail("expected a name of letters, digits and !#$%&'*+-.^_`|~") }
        return isName ? text : nil
    }

    /// At least one path: without one the token would open nothing.
    func tokenRoutes(_ node: ConfigNode) -> [String]? {
        guard let list = node.list() else { return nil }
        if list.isEmpty { node.fail("expected at least one path: the token would open nothing") }
        return list.compactMap(self.path)
    }

    private func identityHeader(_ node: ConfigNode) -> String? {
        guard let name = self.name(node) else { return nil }
        if Switch(name) != nil {
            node.fail("expected the name of a field, such as X-Forwarded-User; the field cannot be switched off")
        }
        if ForwardedHeaders.isReserved(name) {
            node.fail(
                "this field has a meaning of its own on the way to an upstream; expected one such as X-Forwarded-User")
        }
        return name
    }

    private func subject(_ node: ConfigNode) -> String? {
        guard let text = node.string() else { return nil }
        guard Token.isSubject(text) else {
            node.fail(
                "expected 1 to 256 printable ASCII characters without a blank at an end, for it is sent in a header")
            return nil
        }
        return text
    }

    func path(_ node: ConfigNode) -> String? {
        guard let text = node.string() else { return nil }
        do throws(PathFault) {
            _ = try PathPrefix(text)
            return text
        } catch {
            switch error {
            case .noSlash, .dotSegment: node.fail("expected a path that begins with a slash, without dot segments")
            case .ambiguous:
                node.fail(
                    "no request can match it: servers read parameters (;), ?, # and a point or space at the end of a"
                        + " segment in different ways, and such requests are refused")
            default: node.fail("no request can match it, since requests of this kind are refused: \(error.detail)")
            }
            return nil
        }
    }

    // MARK: - the rest

    private func session(_ node: ConfigNode?) -> SessionConfig {
        var config = SessionConfig(hold: .seconds(25), resume: .seconds(60), ping: .seconds(25), buffer: 1 << 20)
        guard let keys = node?.section(["hold", "resume", "ping", "buffer", "stall"]) else { return config }
        config.hold = keys["hold"]?.time() ?? config.hold
        config.resume = keys["resume"]?.time() ?? config.resume
        config.ping = keys["ping"]?.time() ?? config.ping
        config.buffer = keys["buffer"]?.size(1024...ConfigUnits.largestMessage) ?? config.buffer
        if let stall = keys["stall"], let text = stall.string() {
            let time = text == "none" ? .zero : stall.time(.zero ... .hours(24 * 365), orNone: true) ?? .zero
            config.stall = time == .zero ? nil : time
        }
        return config
    }

    private func log(_ node: ConfigNode?) -> LogConfig {
        var config = LogConfig(format: .text, level: .info)
        guard let keys = node?.section(["format", "level"]) else { return config }
        config.format = keys["format"]?.choice(LogConfig.Format.self) ?? config.format
        config.level = keys["level"]?.choice(Logger.Level.self) ?? config.level
        return config
    }
}

import CulvertCore
import Foundation
import NIOCore
import Yams

/// `authentication.jwt`. No message repeats a value: it may be a secret.
extension ConfigReader {
    func jwt(_ node: ConfigNode) -> JWTConfig? {
        let known = ["issuer", "audience", "leeway", "keys", "jwks", "claims", "routes"]
        guard let keys = node.section(known) else { return nil }
        var config = JWTConfig(rules: JWTClaimRules())
        config.rules.issuers = keys["issuer"].flatMap(self.oneOrMore) ?? []
        config.rules.audiences = keys["audience"].flatMap(self.oneOrMore) ?? []
        if let leeway = keys["leeway"]?.time(.zero ... .minutes(10)) {
            config.rules.leeway = leeway.nanoseconds / 1_000_000_000
        }
        if let claims = keys["claims"]?.section(["routes", "origins"]) {
            config.rules.routesClaim = claims["routes"].flatMap(self.claim) ?? config.rules.routesClaim
            config.rules.originsClaim = claims["origins"].flatMap(self.claim) ?? config.rules.originsClaim
            if config.rules.routesClaim == config.rules.originsClaim {
                (claims["origins"] ?? claims["routes"])?.fail("routes and origins cannot be the same claim")
            }
        }
        if let routes = keys["routes"]?.list() { config.rules.defaultRoutes = routes.compactMap(self.path) }
        var seen: Set<String> = []
        for entry in keys["keys"]?.list() ?? [] {
            guard let key = self.jwtKey(entry) else { continue }
            if let name = key.name, !seen.insert(name).inserted {
                entry.fail("another key has the same id and algorithm")
            }
            config.keys.append(key)
        }
        config.sets = keys["jwks"]?.list()?.compactMap(self.keySet) ?? []
        return config
    }

    private func oneOrMore(_ node: ConfigNode) -> [String]? {
        let list = node.node.sequence == nil ? [node.string()] : node.list()?.map { $0.string() } ?? []
        if list.isEmpty { node.fail("expected at least one") }
        if list.contains("") { node.fail("expected a text that is not empty") }
        return list.compactMap(\.self)
    }

    /// Claims that mean something else already (RFC 7519 4.1).
    private static let registeredClaims = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"]

    private func claim(_ node: ConfigNode) -> String? {
        guard let name = node.string() else { return nil }
        if name.isEmpty || Self.registeredClaims.contains(name) {
            node.fail("expected the name of a claim, other than \(Self.registeredClaims.joined(separator: ", "))")
        }
        return name
    }

    private func jwtKey(_ node: ConfigNode) -> ConfiguredJWTKey? {
        let places = ["file", "pem", "jwk", "secret"]
        guard let keys = node.section(["id", "algorithm", "until"] + places) else { return nil }
        let id = keys["id"]?.string()
        let algorithm = keys["algorithm"]?.choice(SignatureAlgorithm.self)
        let until = keys["until"].flatMap(self.date)
        keys["until"]?.keepPlace()
        let given = places.compactMap { keys[$0] }
        guard given.count == 1, let place = given.first else {
            node.fail("expected one of \(places.joined(separator: ", "))")
            return nil
        }
        if keys["algorithm"] != nil, algorithm == nil { return nil }
        if keys["jwk"] == nil, keys["file"] == nil {
            if id == nil { node.fail("missing key \"id\"") }
            if algorithm == nil { node.fail("missing key \"algorithm\"") }
            if id == nil || algorithm == nil { return nil }
        }
        if keys["file"] != nil {
            guard let path = self.file(place) else { return nil }
            return ConfiguredJWTKey(place: .file(path, id: id, algorithm: algorithm), until: until)
        }
        do {
            guard let key = try self.inlineKey(keys, id: id, algorithm: algorithm) else { return nil }
            if key.id == nil { node.fail("missing key \"id\", and the JWK has no \"kid\"") }
            return ConfiguredJWTKey(place: .inline(key), until: until)
        } catch {
            (error == .algorithm ? keys["algorithm"] ?? place : place).fail(error.message)
            return nil
        }
    }

    private func inlineKey(
        _ keys: [String: ConfigNode], id: String?, algorithm: SignatureAlgorithm?
    ) throws(JWTKeyDescription.Fault) -> JWTKeyDescription? {
        if let node = keys["jwk"] {
            guard let members = node.members() else { return nil }
            var jwk: [String: JSONValue] = [:]
            for (name, member) in members {
                if let list = member.node.sequence {
                    jwk[name] = .array(list.compactMap { $0.string.map(JSONValue.string) })
                } else if let text = member.string() {
                    jwk[name] = .string(text)
                }
            }
            return try JWTKeyDescription(jwk: jwk, id: id, algorithm: algorithm)
        }
        if let text = keys["pem"]?.string() { return try JWTKeyDescription(pem: text, id: id, algorithm: algorithm) }
        guard let text = keys["secret"]?.string() else { return nil }
        return try JWTKeyDescription(secret: Array(text.utf8), id: id, algorithm: algorithm)
    }

    private func keySet(_ node: ConfigNode) -> KeySetConfig? {
        guard let keys = node.section(["file", "url", "ca", "refresh", "cooldown", "timeout"]) else { return nil }
        guard (keys["file"] == nil) != (keys["url"] == nil) else {
            node.fail("expected either file or url")
            return nil
        }
        var config: KeySetConfig
        if let path = keys["file"].flatMap(self.file) {
            config = KeySetConfig(place: .file(path))
            keys["ca"]?.fail("of no use without \"url\"")
        } else if let node = keys["url"], let url = node.string() {
            guard Self.isFetchable(url) else {
                node.fail("expected an https URL, or an http one on a loopback address, without user and password")
                return nil
            }
            config = KeySetConfig(place: .url(url, ca: keys["ca"].flatMap(self.file)))
        } else {
            return nil
        }
        config.refresh = keys["refresh"]?.time(.seconds(1) ... .hours(24)) ?? config.refresh
        config.cooldown = keys["cooldown"]?.time(.milliseconds(100) ... .hours(1)) ?? config.cooldown
        config.timeout = keys["timeout"]?.time(.milliseconds(100) ... .minutes(1)) ?? config.timeout
        return config
    }

    /// Whoever can change the answer can mint tokens, so that the way to it must be safe.
    private static func isFetchable(_ text: String) -> Bool {
        guard let url = URLComponents(string: text), let host = url.host, !host.isEmpty, url.user == nil,
            url.password == nil
        else { return false }
        switch url.scheme?.lowercased() {
        case "https": return true
        case "http": return ["localhost", "127.0.0.1", "::1", "[::1]"].contains(host.lowercased())
        default: return false
        }
    }
}

extension ConfiguredJWTKey {
    /// Nil while it stands in a file that says it.
    fileprivate var name: String? {
        switch self.place {
        case .inline(let key): key.id.map { "\($0) \(key.algorithm.rawValue)" }
        case .file(_, let id?, let algorithm?): "\(id) \(algorithm.rawValue)"
        case .file: nil
        }
    }
}

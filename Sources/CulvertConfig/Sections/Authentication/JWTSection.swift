import CulvertCore
import NIOCore
import Yams

/// `authentication.jwt`.
package enum JWTSection: String, ConfigSection {
    case issuer, audience, leeway, keys, jwks, claims, routes

    private static let oneOrMore = ConfigKind.either([.text(.text), .list(.text(.text), atLeast: 1)])

    package var entry: ConfigKey {
        switch self {
        case .issuer:
            ConfigKey(
                Self.oneOrMore, .words("any"), "What `iss` must be: one text, or a list of which `iss` is one.")
        case .audience:
            ConfigKey(
                Self.oneOrMore, .words("a token with `aud` is refused"),
                "What `aud` must have: one text, or a list of which `aud` has one.",
                note: "Without the key a token that has an `aud` is for another service, and refused "
                    + "(RFC 7519 4.1.3).")
        case .leeway:
            ConfigKey(
                .duration(.zero ... .minutes(10)), .value("5s"),
                "By how much the issuer's clock may differ, for `exp`, `nbf` and `iat`.")
        case .keys:
            ConfigKey(
                .list(.section(SigningKeySection.self)), .value("[]"), "Keys that stand here.", note: "See below.")
        case .jwks:
            ConfigKey(
                .list(.section(KeySetSection.self)), .value("[]"),
                "Sets of keys (RFC 7517) in files or behind URLs.", note: "See below.")
        case .claims:
            ConfigKey(.section(ClaimsSection.self), .defaults, "The names of claims.")
        case .routes:
            ConfigKey(
                .list(.text(.pathPrefix)), .value("[/]"),
                "What a token without a routes claim opens; `[]` for nothing.")
        }
    }
}

extension JWTSection {
    /// Reads `authentication.jwt`.
    struct Reader {
        let folder: ConfigFolder
        let keyMaker: JWTKeyMaker

        func read(_ node: ConfigNode) -> JWTConfig? {
            guard let keys = node.section(JWTSection.self) else { return nil }
            let claims = ClaimsSection.Reader().read(keys[.claims])
            var rules = JWTClaimRules(
                issuers: keys[.issuer].flatMap(self.oneOrMore) ?? [],
                audiences: keys[.audience].flatMap(self.oneOrMore) ?? [],
                leeway: keys.time(.leeway).nanoseconds / 1_000_000_000, routesClaim: claims.routes,
                originsClaim: claims.origins)
            if let routes = keys[.routes]?.list() { rules.defaultRoutes = routes.compactMap { $0.pathPrefix() } }
            var config = JWTConfig(rules: rules)
            var seen: Set<String> = []
            for entry in keys[.keys]?.list() ?? [] {
                let reader = SigningKeySection.Reader(folder: self.folder, keyMaker: self.keyMaker)
                guard let key = reader.read(entry) else { continue }
                if let name = key.name, !seen.insert(name).inserted {
                    entry.fail("another key has the same id and algorithm")
                }
                config.keys.append(key)
            }
            let sets = keys[.jwks]?.list(form: "[ \(KeySetSection.Reader.form) ]")
            config.sets = sets?.compactMap(KeySetSection.Reader(folder: self.folder).read) ?? []
            return config
        }

        private func oneOrMore(_ node: ConfigNode) -> [String]? {
            let list = node.node.sequence == nil ? [node.string()] : node.list()?.map { $0.string() } ?? []
            if list.isEmpty { node.fail("expected at least one") }
            if list.contains("") { node.fail("expected a text that is not empty") }
            return list.compactMap(\.self)
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

extension JWTConfig {
    var effective: EffectiveValue {
        .section(JWTSection.self) { key in
            switch key {
            case .issuer: self.rules.issuers.isEmpty ? nil : .texts(self.rules.issuers)
            case .audience: self.rules.audiences.isEmpty ? nil : .texts(self.rules.audiences)
            case .leeway: .time(.seconds(self.rules.leeway))
            case .keys: .list(self.keys.map(\.effective))
            case .jwks: .list(self.sets.map(\.effective))
            case .claims: self.rules.effectiveClaims
            case .routes: .texts(self.rules.defaultRoutes)
            }
        }
    }
}

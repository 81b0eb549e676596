import CulvertCore
import Yams

/// `authentication.jwt.keys[]`.
package enum SigningKeySection: String, ConfigSection {
    case id, algorithm, file, pem, jwk, secret, until

    package var entry: ConfigKey {
        switch self {
        case .id:
            ConfigKey(.text(.text), .words("required, unless the JWK has a `kid`"), "The `kid` of the key.")
        case .algorithm:
            ConfigKey(
                .oneOf(SignatureAlgorithm.self),
                .words(
                    "required with `pem`, with `secret` and with a `file` that holds a secret; otherwise what the "
                        + "JWK's `alg` says, or the key's type: RS256 for RSA, ES256 for P-256, EdDSA for Ed25519"),
                "The algorithm that tokens of this key name in `alg`.")
        case .file:
            ConfigKey(
                .text(.file), .words(Self.oneOfFour),
                "A PEM or JWK file, or for HS256 the secret as the bytes of a file without its last line break.")
        case .pem: ConfigKey(.text(.pem), .words(Self.oneOfFour), "A public key or certificate in PEM.")
        case .jwk:
            ConfigKey(
                .text(.jwk), .words(Self.oneOfFour), "A JWK (RFC 7517) as a mapping.")
        case .secret:
            ConfigKey(
                .text(.text), .words(Self.oneOfFour), "The secret of HS256, at least 32 bytes.", isSecret: true)
        case .until:
            ConfigKey(
                .text(.date), .words("never"),
                "When the key is retired. Its tokens, and their sessions, end then.")
        }
    }

    private static let oneOfFour = "one of `file`, `pem`, `jwk` and `secret`"

    package static var rules: SchemaJSON {
        [
            "oneOf": [
                ["required": ["file"]], ["required": ["jwk"]], ["required": ["pem", "id", "algorithm"]],
                ["required": ["secret", "id", "algorithm"]],
            ]
        ]
    }
}

extension SigningKeySection {
    /// Reads an entry of `authentication.jwt.keys`. No message repeats a value: it may be a secret.
    struct Reader {
        let folder: ConfigFolder
        let keyMaker: JWTKeyMaker

        func read(_ node: ConfigNode) -> ConfiguredJWTKey? {
            let places: [SigningKeySection] = [.file, .pem, .jwk, .secret]
            guard let keys = node.section(SigningKeySection.self) else { return nil }
            let id = keys[.id]?.string()
            let algorithm = keys[.algorithm]?.choice(SignatureAlgorithm.self)
            let until = keys[.until]?.date()
            keys[.until]?.keepPlace()
            let given = places.compactMap { keys[$0] }
            guard given.count == 1, let place = given.first else {
                node.fail("expected one of \(places.map(\.rawValue).joined(separator: ", "))")
                return nil
            }
            if keys[.algorithm] != nil, algorithm == nil { return nil }
            if keys[.jwk] == nil, keys[.file] == nil {
                if id == nil { node.fail("missing key \"id\"") }
                if algorithm == nil { node.fail("missing key \"algorithm\"") }
                if id == nil || algorithm == nil { return nil }
            }
            if keys[.file] != nil {
                guard let path = self.folder.file(place) else { return nil }
                return ConfiguredJWTKey(place: .file(path, id: id, algorithm: algorithm), until: until)
            }
            do {
                guard let key = try self.inline(keys, id: id, algorithm: algorithm) else { return nil }
                if key.id == nil { node.fail("missing key \"id\", and the JWK has no \"kid\"") }
                return ConfiguredJWTKey(place: .inline(key), until: until)
            } catch {
                (error == .algorithm ? keys[.algorithm] ?? place : place).fail(error.message)
                return nil
            }
        }

        private func inline(
            _ keys: ConfigMembers<SigningKeySection>, id: String?, algorithm: SignatureAlgorithm?
        ) throws(JWTKeyDescription.Fault) -> JWTKeyDescription? {
            if let node = keys[.jwk] {
                guard let members = node.members() else { return nil }
                var jwk: [String: JSONValue] = [:]
                for (name, member) in members {
                    if let list = member.node.sequence {
                        jwk[name] = .array(list.compactMap { $0.string.map(JSONValue.string) })
                    } else if let text = member.string() {
                        jwk[name] = .string(text)
                    }
                }
                return try self.keyMaker.make(.jwk(jwk), id, algorithm)
            }
            if let text = keys[.pem]?.string() {
                return try self.keyMaker.make(.pem(text), id, algorithm)
            }
            guard let text = keys[.secret]?.string() else { return nil }
            return try self.keyMaker.make(.secret(Array(text.utf8)), id, algorithm)
        }
    }
}

extension ConfiguredJWTKey {
    var effective: EffectiveValue {
        let (id, algorithm, file, inline): (String?, SignatureAlgorithm?, String?, JWTKeyDescription?) =
            switch self.place {
            case .inline(let key): (key.id, key.algorithm, nil, key)
            case .file(let path, let id, let algorithm): (id, algorithm, path, nil)
            }
        // A public key is its JWK; JSON's objects are YAML's flow mappings.
        let jwk = inline?.material.publicJWK
        return .section(SigningKeySection.self) { key in
            switch key {
            case .id: id.map(EffectiveValue.text)
            case .algorithm: algorithm.map { .word($0.rawValue) }
            case .file: file.map(EffectiveValue.text)
            // Shown as the JWK that it is the same as.
            case .pem: nil
            case .jwk: jwk.map(EffectiveValue.word)
            case .secret: inline != nil && jwk == nil ? .hidden : nil
            case .until: self.until.map { .word(UnixTime.text($0)) }
            }
        }
    }
}

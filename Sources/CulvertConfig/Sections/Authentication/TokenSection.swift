import CulvertCore

/// `authentication.tokens[]`.
package enum TokenSection: String, ConfigSection {
    case id, sha256, subject, routes, expires

    package var entry: ConfigKey {
        switch self {
        case .id:
            ConfigKey(
                .text(.text), .required, "Your name for the token. No two tokens have the same.",
                example: "alice-laptop")
        case .sha256:
            ConfigKey(
                .text(.digest), .required,
                "SHA-256 of the token: `printf %s \"$TOKEN\" | sha256sum`.",
                example: String(repeating: "0", count: 64), isSecret: true)
        case .subject:
            ConfigKey(
                .text(.subject), .required,
                "The user or service that presents the token: 1 to 256 printable ASCII characters without a blank "
                    + "at an end, because it is sent in a header.",
                example: "alice")
        case .routes:
            ConfigKey(
                .list(.text(.pathPrefix), atLeast: 1), .required, "Path prefixes that the token opens.",
                note: "They are matched like those of `routes`.", example: "[/]")
        case .expires:
            ConfigKey(
                .text(.date), .words("never"), "When the token ends, such as `2027-01-01T00:00:00Z`.",
                note: "A date that is past, or less than 14 days away, is a warning.")
        }
    }
}

extension TokenSection {
    /// Reads an entry of `authentication.tokens`.
    struct Reader {
        func read(_ node: ConfigNode) -> ConfigToken? {
            guard let keys = node.section(TokenSection.self) else { return nil }
            let id = keys[.id]?.string()
            let digest = keys[.sha256].flatMap(self.digest)
            let subject = keys[.subject].flatMap(self.subject)
            let routes = keys[.routes].flatMap(self.routes)
            keys[.routes]?.keepPlace()
            let expires = keys[.expires]?.date()
            guard let id, let digest, let subject, let routes else { return nil }
            return ConfigToken(
                token: Token(id: id, source: .config, subject: subject, routes: routes, expires: expires),
                digest: digest, place: keys[.sha256]?.place, idPlace: keys[.id]?.place,
                expiresPlace: keys[.expires]?.place)
        }

        /// Whatever is wrong with it, the value is not repeated: it may be the token itself, pasted by mistake.
        private func digest(_ node: ConfigNode) -> TokenDigest? {
            guard let text = node.string() else { return nil }
            let digits = text.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
            guard digits.count == 64, text.utf8.count == 64 else {
                node.fail("expected the SHA-256 of the token as 64 hexadecimal digits" + Self.advice(text))
                return nil
            }
            let bytes = stride(from: 0, to: 64, by: 2).map {
                UInt8(truncatingIfNeeded: digits[$0] << 4 | digits[$0 + 1])
            }
            let digest = TokenDigest(bytes: bytes)
            if digest == TokenDigest(of: "") {
                node.fail("this is the SHA-256 of an empty text, which cannot be a token")
            }
            return digest
        }

        /// The remedy for a whole line of `sha256sum`, which has the name of its input behind the digits.
        private static func advice(_ text: String) -> String {
            let digits = text.utf8.prefix { Character(UnicodeScalar($0)).hexDigitValue != nil }
            guard digits.count == 64, text.utf8.dropFirst(64).first == UInt8(ascii: " ") else { return "" }
            return "; what sha256sum prints behind the digits (\"  -\") does not belong to it"
        }

        private func subject(_ node: ConfigNode) -> String? {
            guard let text = node.string() else { return nil }
            guard Token.isSubject(text) else {
                node.fail(
                    "expected 1 to 256 printable ASCII characters without a blank at an end, for it is sent in a "
                        + "header")
                return nil
            }
            return text
        }

        /// At least one path: without one the token would open nothing.
        private func routes(_ node: ConfigNode) -> [String]? {
            guard let list = node.list() else { return nil }
            if list.isEmpty { node.fail("expected at least one path: the token would open nothing") }
            return list.compactMap { $0.pathPrefix() }
        }
    }
}

extension Token {
    var effective: EffectiveValue {
        .section(TokenSection.self) { key in
            switch key {
            case .id: .text(self.id)
            case .sha256: .hidden
            case .subject: .text(self.subject)
            case .routes: .texts(self.routes)
            case .expires: self.expires.map { .word(UnixTime.text($0)) }
            }
        }
    }
}

import CulvertCore
import NIOCore

/// `authentication`.
package enum AuthenticationSection: String, ConfigSection {
    case tokens, authorization
    case queryParameter = "query_parameter"
    case cookie, subprotocol
    case identityHeader = "identity_header"
    case closeCode = "close_code"
    case expiryGrace = "expiry_grace"
    case jwt

    package var entry: ConfigKey {
        switch self {
        case .tokens:
            ConfigKey(
                .list(.section(TokenSection.self)), .value("[]"), "Opaque tokens. Culvert knows their digests alone.")
        case .authorization:
            ConfigKey(
                .boolean, .value("true"), "Whether `Authorization: Bearer` carries a token (RFC 6750 2.1).")
        case .queryParameter:
            ConfigKey(
                .text(.carrierName), .value("access_token"),
                "The query parameter that carries a token (RFC 6750 2.3), or `none`.",
                note: "`false`, `off` and `no` mean `none` too. No parameter can have one of these names, nor "
                    + "`true`, `on`, `yes` or `null`.")
        case .cookie:
            ConfigKey(
                .text(.carrierName), .value("culvert_token"), "The cookie that carries a token, or `none`.",
                note: "The spellings of `none` are those of `query_parameter`.")
        case .subprotocol: ConfigKey(.boolean, .value("true"), "Whether subprotocols carry a token.")
        case .identityHeader:
            ConfigKey(
                .text(.headerName), .value("X-Forwarded-User"),
                "The field that tells the upstream the token's subject. A client's own field of this name is "
                    + "always removed.",
                note: "It is removed also when it is spelt with other marks that gateways fold "
                    + "(`X_Forwarded_User`, `X.Forwarded.User`). The name cannot be that of a field that belongs to "
                    + "the connection, the handshake or the way of a request, such as `Host`, `Cookie` or "
                    + "`X-Forwarded-For`.")
        case .closeCode:
            ConfigKey(
                .integer(4000...4999), .value("4401"), "The close code of a WebSocket whose token has ended.")
        case .expiryGrace:
            ConfigKey(
                .duration(.zero ... .hours(24)), .value("0s"),
                "How long a session goes on after its token has expired.")
        case .jwt:
            ConfigKey(
                .section(JWTSection.self), .words("none is taken"), "Signed tokens (RFC 7519).", note: "See below.")
        }
    }
}

extension AuthenticationSection {
    /// Reads `authentication`.
    struct Reader {
        let folder: ConfigFolder
        let keyMaker: JWTKeyMaker

        func read(_ node: ConfigNode?) -> AuthenticationConfig {
            let keys = node?.section(AuthenticationSection.self) ?? ConfigMembers()
            let carriers = self.carriers(keys)
            var config = AuthenticationConfig(
                tokens: [], queryParameter: carriers.queryParameter, cookie: carriers.cookie,
                identityHeader: keys[.identityHeader].flatMap(self.identityHeader)
                    ?? keys.defaultText(.identityHeader),
                closeCode: CloseCode(rawValue: UInt16(clamping: keys.integer(.closeCode))),
                expiryGrace: keys.time(.expiryGrace),
                jwt: keys[.jwt].flatMap(JWTSection.Reader(folder: self.folder, keyMaker: self.keyMaker).read))
            config.carriers = carriers
            config.tokens = self.tokens(keys[.tokens])
            return config
        }

        private func tokens(_ node: ConfigNode?) -> [ConfigToken] {
            var tokens: [ConfigToken] = []
            var ids: [String: ConfigPlace] = [:]
            var digests: [TokenDigest: ConfigPlace] = [:]
            for entry in node?.list() ?? [] {
                guard let token = TokenSection.Reader().read(entry) else { continue }
                if let other = ids[token.token.id] {
                    entry.fail(
                        "another token has the id \"\(token.token.id)\" (\(other.name)); give each an id of its own")
                }
                if let other = digests[token.digest] {
                    entry.fail(
                        "another token has the same sha256 (\(other.name)); take one of the two out, or give it a "
                            + "secret of its own")
                }
                ids[token.token.id] = ids[token.token.id] ?? entry.place
                digests[token.digest] = digests[token.digest] ?? entry.place
                tokens.append(token)
            }
            return tokens
        }

        private func carriers(_ keys: ConfigMembers<AuthenticationSection>) -> CarrierNames {
            CarrierNames(
                authorization: keys.bool(.authorization),
                queryParameter: CarriersSection.Reader.name(
                    keys[.queryParameter], over: keys.defaultText(.queryParameter)),
                cookie: CarriersSection.Reader.name(keys[.cookie], over: keys.defaultText(.cookie)),
                subprotocol: keys.bool(.subprotocol))
        }

        private func identityHeader(_ node: ConfigNode) -> String? {
            guard let name = node.fieldName() else { return nil }
            if Switch(name) != nil {
                node.fail("expected the name of a field, such as X-Forwarded-User; the field cannot be switched off")
            }
            if RequestFields.isReserved(name) {
                node.fail(
                    "this field has a meaning of its own on the way to an upstream; expected one such as "
                        + "X-Forwarded-User")
            }
            return name
        }
    }
}

extension AuthenticationConfig {
    var effective: EffectiveValue {
        .section(AuthenticationSection.self) { key in
            switch key {
            case .tokens: .list(self.tokens.map(\.token.effective))
            case .authorization: .flag(self.carriers.authorization)
            case .queryParameter: .text(self.carriers.queryParameter ?? "none")
            case .cookie: .text(self.carriers.cookie ?? "none")
            case .subprotocol: .flag(self.carriers.subprotocol)
            case .identityHeader: .text(self.identityHeader)
            case .closeCode: .number(Int(self.closeCode.rawValue))
            case .expiryGrace: .time(self.expiryGrace)
            case .jwt: self.jwt?.effective
            }
        }
    }
}

import CulvertCore

/// `routes[].carriers`.
package enum CarriersSection: String, ConfigSection {
    case authorization
    case queryParameter = "query_parameter"
    case cookie, subprotocol

    package var entry: ConfigKey {
        switch self {
        case .authorization:
            ConfigKey(
                .boolean, .words("`authentication.authorization`"),
                "Whether `Authorization: Bearer` carries a token.")
        case .queryParameter:
            ConfigKey(
                .text(.carrierName), .words("`authentication.query_parameter`"),
                "The query parameter that carries a token, or `none`.")
        case .cookie:
            ConfigKey(
                .text(.carrierName), .words("`authentication.cookie`"),
                "The cookie that carries a token, or `none`.")
        case .subprotocol:
            ConfigKey(
                .boolean, .words("`authentication.subprotocol`"), "Whether subprotocols carry a token.")
        }
    }
}

extension CarriersSection {
    /// Reads `carriers` of a route.
    struct Reader {
        /// The carriers of `authentication`, which hold where a key is absent.
        let base: CarrierNames

        func read(_ node: ConfigNode) -> CarrierNames? {
            guard let keys = node.section(CarriersSection.self) else { return nil }
            return CarrierNames(
                authorization: keys[.authorization]?.bool() ?? self.base.authorization,
                queryParameter: Self.name(keys[.queryParameter], over: self.base.queryParameter),
                cookie: Self.name(keys[.cookie], over: self.base.cookie),
                subprotocol: keys[.subprotocol]?.bool() ?? self.base.subprotocol)
        }

        /// A name, or `none` or a word like it for a carrier that is off. `authentication` has the same forms.
        static func name(_ node: ConfigNode?, over base: String?) -> String? {
            guard let node, let name = node.fieldName() else { return base }
            switch Switch(name) {
            case .off?: return nil
            case .on?, .nothing?:
                node.fail("expected a name, such as \(base ?? "access_token"), or none for no such carrier")
                return base
            case nil: return name
            }
        }
    }
}

extension CarrierNames {
    var effective: EffectiveValue {
        .section(CarriersSection.self) { key in
            switch key {
            case .authorization: .flag(self.authorization)
            case .queryParameter: .text(self.queryParameter ?? "none")
            case .cookie: .text(self.cookie ?? "none")
            case .subprotocol: .flag(self.subprotocol)
            }
        }
    }
}

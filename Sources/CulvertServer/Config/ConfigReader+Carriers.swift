import CulvertCore

/// Reads the carriers of tokens: keys of `authentication`, and of `carriers` of a route.
extension ConfigReader {
    static let carrierKeys = ["authorization", "query_parameter", "cookie", "subprotocol"]

    /// - Parameter base: what holds where a key is absent.
    func carriers(_ keys: [String: ConfigNode], over base: CarrierNames) -> CarrierNames {
        CarrierNames(
            authorization: keys["authorization"]?.bool() ?? base.authorization,
            queryParameter: self.carrier(keys["query_parameter"], over: base.queryParameter),
            cookie: self.carrier(keys["cookie"], over: base.cookie),
            subprotocol: keys["subprotocol"]?.bool() ?? base.subprotocol)
    }

    /// A name, or `none` or a word like it for a carrier that is off.
    private func carrier(_ node: ConfigNode?, over base: String?) -> String? {
        guard let node, let name = self.name(node) else { return base }
        switch Switch(name) {
        case .off?: return nil
        case .on?, .nothing?:
            node.fail("expected a name, such as \(base ?? "access_token"), or none for no such carrier")
            return base
        case nil: return name
        }
    }

    /// The carriers of a route that has the key `carriers`; nil for another route.
    func routeCarriers(_ node: ConfigNode?, over base: CarrierNames) -> CarrierNames? {
        guard let node, let keys = node.section(Self.carrierKeys) else { return nil }
        return self.carriers(keys, over: base)
    }

    /// A route that asks for a token has a carrier for it. A cookie is none where every origin is allowed: a browser
    /// sends it along whatever page makes it connect, and so any page would use the visitor's token.
    ///
    /// - Parameter keys: of the route.
    func checkCarriers(
        _ carriers: CarrierNames, _ origins: OriginPolicy, _ route: ConfigNode, keys: [String: ConfigNode]
    ) {
        if carriers.isEmpty {
            (keys["carriers"] ?? route).fail(
                "the route asks for a token, and every carrier of tokens is off; switch one on, or write"
                    + " \"authentication: none\"")
        }
        guard let cookie = carriers.cookie, let every = origins.allow.firstIndex(where: \.isEveryOrigin) else { return }
        let entries = keys["origins"]?.members()?["allow"]?.list() ?? []
        (entries.indices.contains(every) ? entries[every] : route).fail(
            "with every origin allowed any page could use the token in a visitor's cookie \"\(cookie)\"; write"
                + " \"carriers: { cookie: none }\" in this route, or list the origins")
    }
}

import CulvertCore
import Yams

/// The whole file: with the sections below it, the table of all keys.
package enum RootSection: String, ConfigSection {
    case listen, routes, authentication, upstreams, session, limits, admin, state, log
    case trustedProxies = "trusted_proxies"
    case reload, drain, takeover, client

    package var entry: ConfigKey {
        switch self {
        case .listen:
            ConfigKey(.list(.section(ListenSection.self), atLeast: 1), .required, "The listeners for clients.")
        case .routes:
            ConfigKey(
                .list(.section(RouteSection.self), atLeast: 1), .required,
                "The routes. Of the routes that cover a request, those with its host come first, and among these "
                    + "the longest path wins.")
        case .authentication:
            ConfigKey(
                .section(AuthenticationSection.self), .defaults,
                "Tokens, and the ways in which clients carry them.")
        case .upstreams:
            ConfigKey(.named(UpstreamSection.self), .required, "The upstreams, by names of your own; at least one.")
        case .session:
            ConfigKey(
                .section(SessionSection.self), .defaults, "Sessions on every transport.")
        case .limits:
            ConfigKey(
                .section(LimitsSection.self), .defaults, "Bounds on what clients can make grow.")
        case .admin:
            ConfigKey(
                .section(AdminSection.self), .defaults,
                "The listener of the admin API, `/healthz` and `/readyz`.")
        case .state:
            ConfigKey(
                .text(.statePath), .value("culvert.db"),
                "The path of the database of minted tokens and the audit log, or `none`.")
        case .log:
            ConfigKey(.section(LogSection.self), .defaults, "The log on standard error.")
        case .trustedProxies:
            ConfigKey(
                .list(.text(.block)), .value("[]"),
                "The proxies in front of Culvert whose word on the client's address, scheme, host and port is "
                    + "taken.")
        case .reload:
            ConfigKey(
                .section(ReloadSection.self), .defaults,
                "Reading the configuration again while Culvert runs.")
        case .drain:
            ConfigKey(
                .section(DrainSection.self), .defaults,
                "How Culvert ends, on SIGTERM or after a takeover.")
        case .takeover:
            ConfigKey(
                .text(.socketPath), .words("none"),
                "The Unix socket over which `culvert serve --takeover` takes the listeners.")
        case .client:
            ConfigKey(
                .text(.scriptPath), .words("not served"),
                "The path at which the browser client's script is served, with its other files beside it.",
                example: "/culvert.js")
        }
    }

    package static var rules: SchemaJSON {
        let proxied: SchemaJSON = [
            "listen": [
                "type": "array",
                "contains": [
                    "type": "object", "required": ["proxy_protocol"],
                    "properties": ["proxy_protocol": ["enum": [true, "true", "yes", "on"]]],
                ],
            ]
        ]
        let noAdmin: SchemaJSON = [
            "admin": [
                "required": ["address"],
                "properties": ["address": ["anyOf": [["const": "none"], ["$ref": "#/$defs/variable"]]]],
            ]
        ]
        let routeRate: SchemaJSON = [
            "limits": ["required": ["route"], "properties": ["route": ["required": ["rate"]]]]
        ]
        let routeBurst: SchemaJSON = [
            "routes": [
                "items": ["properties": ["limits": ["dependentRequired": ["burst": ["rate"]]]]]
            ]
        ]
        return [
            "allOf": [
                [
                    "if": ["required": ["listen"], "properties": proxied],
                    "then": [
                        "required": ["trusted_proxies"], "properties": ["trusted_proxies": ["minItems": 1]],
                    ],
                ],
                [
                    "if": ["required": ["state"], "properties": ["state": ["const": "none"]]],
                    "then": ["required": ["admin"], "properties": noAdmin],
                ],
                [
                    "if": ["not": ["required": ["limits"], "properties": routeRate]],
                    "then": ["properties": routeBurst],
                ],
            ]
        ]
    }
}

extension RootSection {
    /// Reads the whole file.
    struct Reader {
        let folder: ConfigFolder
        let keyMaker: JWTKeyMaker

        func read(_ root: ConfigNode) -> ProxyConfig? {
            guard let top = root.section(RootSection.self) else { return nil }
            let limits = LimitsSection.Reader().read(top[.limits])
            let upstreams = top[.upstreams].flatMap(
                UpstreamSection.Reader(folder: self.folder, handshake: limits.handshake).read)
            let trusted = top[.trustedProxies]?.list()?.compactMap(self.block) ?? []
            let admin = AdminSection.Reader(folder: self.folder).read(top[.admin])
            let listen = top[.listen].flatMap(
                ListenSection.Reader(folder: self.folder, admin: admin, trustsProxies: !trusted.isEmpty).read)
            let authentication = AuthenticationSection.Reader(folder: self.folder, keyMaker: self.keyMaker).read(
                top[.authentication])
            let session = SessionSection.Reader().read(top[.session])
            let known = top[.upstreams]?.node.mapping == nil ? nil : top[.upstreams]?.members()
            let routes = top[.routes].flatMap(
                RouteSection.Reader(
                    upstreams: known.map { Set($0.keys) }, limits: limits, carriers: authentication.carriers
                ).read)
            let state = self.state(top, isNeeded: admin != nil)
            let log = LogSection.Reader().read(top[.log])
            let reload = ReloadSection.Reader().read(top[.reload])
            let drain = DrainSection.Reader().read(top[.drain])
            let takeover = top[.takeover].flatMap(self.takeover)
            PathCollisions.report(
                [
                    ("admin.address", admin?.socket), ("admin.token_file", admin?.tokenFile), ("state", state),
                    ("takeover", takeover),
                ], to: root.errors)
            guard let upstreams, let listen, let routes else { return nil }
            var config = ProxyConfig(
                listen: listen, routes: routes, authentication: authentication, upstreams: upstreams,
                session: session, limits: limits, admin: admin, state: state, log: log, trustedProxies: trusted)
            config.reload = reload
            config.drain = drain
            config.takeover = takeover
            config.client = top[.client].flatMap(self.client)
            config.places = ConfigPlaces(file: root.errors.file, root.errors.places)
            return config
        }

        private func block(_ node: ConfigNode) -> AddressBlock? {
            guard let text = node.string() else { return nil }
            node.keepPlace()
            if let block = AddressBlock(text) { return block }
            node.fail("expected an address or a block of them, such as 10.0.0.0/8 or ::1")
            return nil
        }

        /// - Parameter isNeeded: there is an admin API, which would have nowhere to write.
        private func state(_ top: ConfigMembers<RootSection>, isNeeded: Bool) -> String? {
            let node = top[.state]
            node?.keepPlace()
            let text = top.string(.state)
            if text != "none", Switch(text) != nil {
                node?.fail("expected the path of a file, or none; a file of this name is written ./\(text)")
                return nil
            }
            if text == "none" {
                if isNeeded { node?.fail("the admin API needs a database: give one, or set admin.address to none") }
                return nil
            }
            if text.isEmpty { node?.fail("expected the path of a file, or none") }
            return self.folder.resolve(text)
        }

        private func takeover(_ node: ConfigNode) -> String? {
            guard let text = node.string() else { return nil }
            if Switch(text) != nil {
                node.fail(
                    "expected the path of a socket; without the key there is none, and this name is written ./\(text)")
            }
            return self.folder.socket(text, node)
        }

        private func client(_ node: ConfigNode) -> ClientPaths? {
            guard let text = node.string() else { return nil }
            if let paths = ClientPaths(text) { return paths }
            node.fail(
                "expected a path that ends in .js, such as /culvert.js, of letters, digits and -._~, without _poll")
            return nil
        }
    }
}

extension ProxyConfig {
    /// The configuration in effect as YAML, with all defaults and without secrets. A digest of a token counts as a
    /// secret: with it anybody can try tokens without a request to Culvert.
    package func redactedYAML() -> String { self.effective.yaml() }

    var effective: EffectiveValue {
        .section(RootSection.self) { key in
            switch key {
            case .listen: .list(self.listen.map(\.effective))
            case .routes: .list(self.routes.map { $0.effective(self.limits) })
            case .authentication: self.authentication.effective
            case .upstreams:
                .section(
                    self.upstreams.sorted { $0.key < $1.key }.map {
                        EffectiveValue.Member(name: EffectiveValue.quoted($0.key), value: $0.value.effective)
                    })
            case .session: self.session.effective
            case .limits: self.limits.effective
            case .admin: self.admin?.effective ?? .section(AdminSection.self) { $0 == .address ? .word("none") : nil }
            case .state: .text(self.state ?? "none")
            case .log: self.log.effective
            case .trustedProxies: .texts(self.trustedProxies.map(\.description))
            case .reload: self.reload.effective
            case .drain: self.drain.effective
            case .takeover: self.takeover.map(EffectiveValue.text)
            case .client: (self.client?.module).map(EffectiveValue.text)
            }
        }
    }
}

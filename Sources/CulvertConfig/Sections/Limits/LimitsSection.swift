import CulvertCore

/// `limits`.
package enum LimitsSection: String, ConfigSection {
    case connections, message, handshake, header, process, address, token, route, http, session, memory

    package var entry: ConfigKey {
        switch self {
        case .connections:
            ConfigKey(
                .count, .value("20000"),
                "Sessions of the process, open or being opened, on every transport. Past it 503.")
        case .message:
            ConfigKey(
                .either([.messageSize, .section(MessageLimitsSection.self)]), .value("none"),
                "The payload of one message over all its fragments: a size for both directions, a size for each, "
                    + "or `none`. Past it close code 1009, or 413.",
                note: "See [below](#limitsmessage).")
        case .handshake:
            ConfigKey(
                .duration(), .value("10s"),
                "The longest time for each of these: a PROXY header, the TLS handshake, a request's header "
                    + "section, a request's body, the upstream's answer, a close handshake.",
                note: "A body that keeps `http.body_rate` may take longer.")
        case .header:
            ConfigKey(
                .size(512...1 << 20), .value("16KiB"), "A request's header section. Past it 431.",
                note: "It is 414 where the target alone is longer.")
        case .process:
            ConfigKey(
                .section(ProcessLimitsSection.self), .words("no limit"),
                "What may be opened in all. Past it 503. The limit of sessions is `limits.connections`.",
                note: "See [below](#before-a-session).")
        case .address:
            ConfigKey(
                .section(AdmissionSection.self), .words("no limit"),
                "What each client address may open, an IPv6 address by its first 64 bits. Past it 429.")
        case .token:
            ConfigKey(
                .section(AdmissionSection.self), .words("no limit"),
                "What each token may open, by its id. Past it 429.")
        case .route:
            ConfigKey(
                .section(AdmissionSection.self), .words("no limit"),
                "What may be opened on each route whose own limits do not say otherwise. Past it 503.")
        case .http:
            ConfigKey(
                .section(HTTPLimitsSection.self), .defaults, "What connections and requests may take.",
                note: "See [below](#limitshttp).")
        case .session:
            ConfigKey(
                .section(SessionLimitsSection.self), .words("no limit"), "Limits of each session while it is open.",
                note: "See [below](#limitssession).")
        case .memory:
            ConfigKey(
                .size(64 << 10...1 << 44), .words("no limit"),
                "The bytes that all sessions may hold together. Past it the largest are closed (1013).",
                note: "See [below](#limitsmemory).")
        }
    }

    package static var rules: SchemaJSON {
        let burst: SchemaJSON = ["dependentRequired": ["burst": ["rate"]]]
        return [
            "allOf": [["properties": ["process": burst, "address": burst, "token": burst, "route": burst]]]
        ]
    }
}

extension LimitsSection {
    /// Reads `limits`.
    struct Reader {
        func read(_ node: ConfigNode?) -> LimitsConfig {
            let keys = node?.section(LimitsSection.self) ?? ConfigMembers()
            var config = LimitsConfig(
                connections: keys.integer(.connections), handshake: keys.time(.handshake), header: keys.size(.header))
            config.message = MessageLimitsSection.Reader(base: config.message).read(keys[.message])
            config.process = ProcessLimitsSection.Reader(base: config.process).read(keys[.process])
            config.address = AdmissionSection.Reader(base: config.address).read(keys[.address])
            config.token = AdmissionSection.Reader(base: config.token).read(keys[.token])
            config.route = AdmissionSection.Reader(base: config.route).read(keys[.route])
            config.http = HTTPLimitsSection.Reader(base: config.http).read(keys[.http])
            config.session = keys[.session].map(SessionLimitsSection.Reader().read) ?? config.session
            config.memory = keys[.memory]?.size()
            return config
        }
    }
}

extension LimitsConfig {
    var effective: EffectiveValue {
        .section(LimitsSection.self) { key in
            switch key {
            case .connections: .number(self.connections)
            case .message: self.message.effective
            case .handshake: .time(self.handshake)
            case .header: .size(self.header)
            case .process: self.process.effectiveOfProcess
            case .address: self.address.effective
            case .token: self.token.effective
            case .route: self.route.effective
            case .http: self.http.effective
            case .session: self.session.effective.unlessEmpty
            case .memory: self.memory.map(EffectiveValue.size)
            }
        }
    }
}

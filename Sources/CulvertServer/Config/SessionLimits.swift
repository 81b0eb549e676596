package import CulvertCore
package import NIOCore

/// `limits.session`: what a session may do once it is open. Nil is no limit.
package struct SessionLimits: Sendable, Equatable {
    package var fromClient: SessionRateLimit?
    package var toClient: SessionRateLimit?
    /// Frames of one message.
    package var fragments: Int?
    /// Longest time without a message in either direction.
    package var idle: TimeAmount?
    package var lifetime: TimeAmount?

    package init(
        fromClient: SessionRateLimit? = nil, toClient: SessionRateLimit? = nil, fragments: Int? = nil,
        idle: TimeAmount? = nil, lifetime: TimeAmount? = nil
    ) {
        self.fromClient = fromClient
        self.toClient = toClient
        self.fragments = fragments
        self.idle = idle
        self.lifetime = lifetime
    }
}

extension ConfigReader {
    func sessionLimits(_ node: ConfigNode) -> SessionLimits {
        var limits = SessionLimits()
        guard let keys = node.section(["from_client", "to_client", "fragments", "idle", "lifetime"]) else {
            return limits
        }
        limits.fromClient = keys["from_client"].flatMap(self.rate)
        limits.toClient = keys["to_client"].flatMap(self.rate)
        limits.fragments = keys["fragments"]?.integer(1...10_000_000)
        limits.idle = keys["idle"]?.time()
        limits.lifetime = keys["lifetime"]?.time()
        return limits
    }

    private func rate(_ node: ConfigNode) -> SessionRateLimit? {
        guard let keys = node.section(["messages", "message_burst", "bytes", "byte_burst", "excess"]) else {
            return nil
        }
        let messages = keys["messages"]?.integer(1...10_000_000)
        let bytes = keys["bytes"]?.size(1...1 << 40)
        if keys["messages"] == nil { keys["message_burst"]?.fail("of no use without \"messages\"") }
        if keys["bytes"] == nil { keys["byte_burst"]?.fail("of no use without \"bytes\"") }
        if keys["messages"] == nil, keys["bytes"] == nil {
            node.fail("expected \"messages\" or \"bytes\", or both")
        }
        return SessionRateLimit(
            messages: messages, messageBurst: keys["message_burst"]?.integer(1...10_000_000) ?? messages ?? 1,
            bytes: bytes, byteBurst: keys["byte_burst"]?.size(1...1 << 40) ?? bytes ?? 1,
            excess: keys["excess"]?.choice(SessionRateLimit.Excess.self) ?? .pause)
    }
}

extension SessionLimits {
    /// Members of `limits` of the effective configuration.
    var yaml: String {
        var out = ""
        if let rate = self.fromClient { out += "    from_client: \(Self.yaml(rate))\n" }
        if let rate = self.toClient { out += "    to_client: \(Self.yaml(rate))\n" }
        if let fragments = self.fragments { out += "    fragments: \(fragments)\n" }
        if let idle = self.idle { out += "    idle: \(ConfigUnits.text(idle))\n" }
        if let lifetime = self.lifetime { out += "    lifetime: \(ConfigUnits.text(lifetime))\n" }
        return out.isEmpty ? "" : "  session:\n" + out
    }

    private static func yaml(_ rate: SessionRateLimit) -> String {
        var members: [String] = []
        if let messages = rate.messages {
            members += ["messages: \(messages)", "message_burst: \(rate.messageBurst)"]
        }
        if let bytes = rate.bytes {
            members += [
                "bytes: \(ConfigUnits.text(size: bytes))", "byte_burst: \(ConfigUnits.text(size: rate.byteBurst))",
            ]
        }
        return "{ \((members + ["excess: \(rate.excess.rawValue)"]).joined(separator: ", ")) }"
    }
}

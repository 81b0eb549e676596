import CulvertCore

/// `limits.session.from_client` and `limits.session.to_client`.
package enum ThroughputSection: String, ConfigSection {
    case messages
    case messageBurst = "message_burst"
    case bytes
    case byteBurst = "byte_burst"
    case excess

    package static var definition: String? { "throughput" }

    package var entry: ConfigKey {
        switch self {
        case .messages: ConfigKey(.count, .words("no limit"), "Messages a second.")
        case .messageBurst: ConfigKey(.count, .words("`messages`"), "How many messages may come at once.")
        case .bytes: ConfigKey(.size(1...1 << 40), .words("no limit"), "Bytes of payload a second.")
        case .byteBurst: ConfigKey(.size(1...1 << 40), .words("`bytes`"), "How many bytes may come at once.")
        case .excess:
            ConfigKey(
                .oneOf(SessionRateLimit.Excess.self), .value("pause"),
                "`pause` reads no more from the sender until the rate is kept again; `close` ends the session "
                    + "(1008).",
                note: "The reason is `too many messages` or `too many bytes`.")
        }
    }

    package static var rules: SchemaJSON {
        [
            "anyOf": [["required": ["messages"]], ["required": ["bytes"]]],
            "dependentRequired": ["message_burst": ["messages"], "byte_burst": ["bytes"]],
        ]
    }
}

extension ThroughputSection {
    /// Reads what a direction of a session may carry.
    struct Reader {
        func read(_ node: ConfigNode) -> SessionRateLimit? {
            guard let keys = node.section(ThroughputSection.self) else { return nil }
            let (messages, bytes) = (keys[.messages]?.integer(), keys[.bytes]?.size())
            if keys[.messages] == nil { keys[.messageBurst]?.fail("of no use without \"messages\"") }
            if keys[.bytes] == nil { keys[.byteBurst]?.fail("of no use without \"bytes\"") }
            if keys[.messages] == nil, keys[.bytes] == nil {
                node.fail("expected \"messages\" or \"bytes\", or both")
            }
            return SessionRateLimit(
                messages: messages, messageBurst: keys[.messageBurst]?.integer() ?? messages ?? 1, bytes: bytes,
                byteBurst: keys[.byteBurst]?.size() ?? bytes ?? 1, excess: keys.choice(.excess))
        }
    }
}

extension SessionRateLimit {
    var effective: EffectiveValue {
        .section(ThroughputSection.self) { key in
            switch key {
            case .messages: self.messages.map(EffectiveValue.number)
            case .messageBurst: self.messages == nil ? nil : .number(self.messageBurst)
            case .bytes: self.bytes.map(EffectiveValue.size)
            case .byteBurst: self.bytes == nil ? nil : .size(self.byteBurst)
            case .excess: .word(self.excess.rawValue)
            }
        }
    }
}

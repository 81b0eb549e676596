import CulvertCore
import Yams

/// `limits.message`, as a section.
package enum MessageLimitsSection: String, ConfigSection {
    case fromClient = "from_client"
    case fromUpstream = "from_upstream"

    package static var definition: String? { "messageSizes" }

    package var entry: ConfigKey {
        switch self {
        case .fromClient:
            ConfigKey(
                .messageSize, .words("`none`; in a route that of `limits.message`"),
                "The largest message of a client. With `none`, messages of a polled session have at most 1 MiB, "
                    + "and those of a native WebSocket any size.")
        case .fromUpstream:
            ConfigKey(
                .messageSize, .words("`none`; in a route that of `limits.message`"),
                "The largest message of an upstream. With `none`, messages of a polled session have at most 16 MiB, "
                    + "and those of a native WebSocket any size.")
        }
    }
}

extension MessageLimitsSection {
    /// Reads `limits.message`: a size for both directions, or a section with a size for each. `none` means no limit.
    struct Reader {
        /// The limits of a direction that the section does not name.
        let base: MessageLimits

        func read(_ node: ConfigNode?) -> MessageLimits {
            guard let node else { return self.base }
            guard node.node.scalar == nil else {
                let limit = self.limit(node)
                return MessageLimits(fromClient: limit, fromUpstream: limit)
            }
            var limits = self.base
            guard let keys = node.section(MessageLimitsSection.self) else { return limits }
            if let node = keys[.fromClient] { limits.fromClient = self.limit(node) }
            if let node = keys[.fromUpstream] { limits.fromUpstream = self.limit(node) }
            return limits
        }

        private func limit(_ node: ConfigNode) -> Int? {
            guard let text = node.string(), text != "none" else { return nil }
            return node.size()
        }
    }
}

extension MessageLimits {
    /// A single size if both directions have the same, else a section with a size for each.
    var effective: EffectiveValue {
        func size(_ limit: Int?) -> EffectiveValue { limit.map(EffectiveValue.size) ?? .word("none") }
        guard self.fromClient != self.fromUpstream else { return size(self.fromClient) }
        return .section(MessageLimitsSection.self) { key in
            switch key {
            case .fromClient: size(self.fromClient)
            case .fromUpstream: size(self.fromUpstream)
            }
        }
    }
}

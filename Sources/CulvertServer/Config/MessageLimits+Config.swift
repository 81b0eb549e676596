import CulvertCore
import Yams

extension ConfigNode {
    /// Reads `limits.message`: a size for both directions, or a section with a size for each. `none` means no limit.
    ///
    /// - Parameter over: the limits of a direction that the section does not name.
    func messageLimits(over limits: MessageLimits) -> MessageLimits {
        guard self.node.scalar == nil else {
            let limit = self.messageLimit()
            return MessageLimits(fromClient: limit, fromUpstream: limit)
        }
        var limits = limits
        guard let keys = self.section(["from_client", "from_upstream"]) else { return limits }
        if let node = keys["from_client"] { limits.fromClient = node.messageLimit() }
        if let node = keys["from_upstream"] { limits.fromUpstream = node.messageLimit() }
        return limits
    }

    private func messageLimit() -> Int? {
        guard let text = self.string(), text != "none" else { return nil }
        return self.size(1...ConfigUnits.largestMessage, orNone: true)
    }
}

extension MessageLimits {
    /// The value of `message` in the effective configuration.
    var yaml: String {
        let (client, upstream) = (Self.yaml(self.fromClient), Self.yaml(self.fromUpstream))
        return client == upstream ? client : "{ from_client: \(client), from_upstream: \(upstream) }"
    }

    private static func yaml(_ limit: Int?) -> String { limit.map(SizeText.text) ?? "none" }
}

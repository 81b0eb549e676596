import CulvertCore
import NIOCore

/// `reload`, `drain`, `takeover` and `client`.
extension ConfigReader {
    func reload(_ node: ConfigNode?) -> ReloadConfig {
        var config = ReloadConfig()
        guard let keys = node?.section(["close_code", "watch"]) else { return config }
        config.closeCode = keys["close_code"].flatMap(self.closeCode) ?? config.closeCode
        if let watch = keys["watch"]?.time(.zero ... .hours(24)) { config.watch = watch > .zero ? watch : nil }
        return config
    }

    func drain(_ node: ConfigNode?) -> DrainPlan {
        var plan = DrainPlan()
        guard let keys = node?.section(["delay", "spread", "deadline", "code"]) else { return plan }
        plan.delay = keys["delay"]?.time(DrainPlan.times) ?? plan.delay
        plan.spread = keys["spread"]?.time(DrainPlan.times) ?? plan.spread
        plan.deadline = keys["deadline"]?.time(DrainPlan.times) ?? plan.leastDeadline
        if plan.spread > plan.deadline { keys["spread"]?.fail("longer than \"deadline\"") }
        plan.code = keys["code"].flatMap(self.closeCode) ?? plan.code
        return plan
    }

    /// One that an endpoint may send, and that a client can act on.
    private func closeCode(_ node: ConfigNode) -> CloseCode? {
        guard let text = node.string() else { return nil }
        guard let number = UInt16(text), CloseCode.ofOperators.contains(number) else {
            node.fail("expected 1000, 1001, 1008, 1012, 1013 or 3000 to 4999")
            return nil
        }
        return CloseCode(rawValue: number)
    }

    func client(_ node: ConfigNode) -> ClientPaths? {
        guard let text = node.string() else { return nil }
        if let paths = ClientPaths(text) { return paths }
        node.fail("expected a path that ends in .js, such as /culvert.js, of letters, digits and -._~, without _poll")
        return nil
    }

    func socketPath(_ node: ConfigNode) -> String? {
        guard let text = node.string() else { return nil }
        if Switch(text) != nil {
            node.fail(
                "expected the path of a socket; without the key there is none, and this name is written ./\(text)")
        }
        return self.socketPath(text, node)
    }

    func socketPath(_ text: String, _ node: ConfigNode) -> String {
        node.keepPlace()
        let path = self.resolve(text)
        // sun_path of unix(7), with its zero at the end.
        if text.isEmpty || path.utf8.count > 107 { node.fail("expected the path of a socket, of at most 107 bytes") }
        return path
    }
}

extension CloseCode {
    /// Those that an operator may have sessions closed with.
    static let ofOperators: Set<UInt16> = Set([1000, 1001, 1008, 1012, 1013] + (3000...4999))
}

extension DrainPlan {
    static let times: ClosedRange<TimeAmount> = .zero ... .hours(24)

    /// Who spreads over so long does not mean the last to be cut at once.
    var leastDeadline: TimeAmount { min(self.spread + DrainPlan().deadline, Self.times.upperBound) }
}

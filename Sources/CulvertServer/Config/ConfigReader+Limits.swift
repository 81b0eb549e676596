import CulvertCore
import NIOCore

extension ConfigReader {
    func limits(_ node: ConfigNode?) -> LimitsConfig {
        var config = LimitsConfig(connections: 20000, handshake: .seconds(10), header: 16 << 10)
        let known = [
            "connections", "message", "handshake", "header", "process", "address", "token", "route", "http",
            "session", "memory",
        ]
        guard let keys = node?.section(known) else { return config }
        let connections = keys["connections"]?.integer(1...10_000_000) ?? config.connections
        let message = keys["message"]?.messageLimits(over: config.message) ?? config.message
        let handshake = keys["handshake"]?.time() ?? config.handshake
        let header = keys["header"]?.size(512...1 << 20) ?? config.header
        config = LimitsConfig(connections: connections, message: message, handshake: handshake, header: header)
        config.process = self.admission(keys["process"], ["rate", "burst", "handshakes"], over: config.process)
        config.address = self.admission(keys["address"], over: config.address)
        config.token = self.admission(keys["token"], over: config.token)
        config.route = self.admission(keys["route"], over: config.route)
        config.http = self.http(keys["http"], config.http)
        config.session = keys["session"].map(self.sessionLimits) ?? config.session
        config.memory = keys["memory"]?.size(64 << 10...1 << 44)
        return config
    }

    /// - Parameter over: what holds for keys that are not there.
    func admission(
        _ node: ConfigNode?, _ known: [String] = ["sessions", "rate", "burst", "handshakes"],
        over limits: AdmissionLimits
    ) -> AdmissionLimits {
        var limits = limits
        guard let keys = node?.section(known) else { return limits }
        limits.sessions = keys["sessions"]?.integer(1...10_000_000) ?? limits.sessions
        limits.handshakes = keys["handshakes"]?.integer(1...10_000_000) ?? limits.handshakes
        let rate = keys["rate"]?.integer(1...1_000_000)
        let burst = keys["burst"]?.integer(1...1_000_000)
        if keys["rate"] == nil, limits.rate == nil { keys["burst"]?.fail("of no use without \"rate\"") }
        if let rate = rate ?? limits.rate?.rate, rate != limits.rate?.rate || burst != nil {
            limits.rate = BucketRate(rate: rate, burst: burst ?? rate)
        }
        return limits
    }

    private func http(_ node: ConfigNode?, _ limits: HTTPLimits) -> HTTPLimits {
        var limits = limits
        guard let keys = node?.section(["first_byte", "body_rate", "requests", "idle", "parked"]) else { return limits }
        limits.firstByte = keys["first_byte"]?.time() ?? limits.firstByte
        limits.bodyRate = keys["body_rate"]?.size(1...1 << 30) ?? limits.bodyRate
        limits.requests = keys["requests"]?.integer(1...10_000_000) ?? limits.requests
        limits.idle = keys["idle"]?.time() ?? limits.idle
        limits.parked = keys["parked"]?.integer(1...10_000_000) ?? limits.parked
        return limits
    }
}

/// Keepalive of one WebSocket leg: a ping when the leg was silent for one period, lost when it stays silent for
/// another.
///
/// The hot path only sets a flag; the clock is read once a period by whoever calls `tick`.
///
/// An endpoint may answer only the latest of several pings (RFC 6455 5.5.3), so ours is not sent while an
/// application's ping waits for its pong: that ping probes the leg as well as ours would.
package struct Keepalive: Equatable, Sendable {
    package enum OnTick: Equatable, Sendable {
        case nothing
        case ping
        case lost
    }

    private var heard = true
    private var probing = false
    private var applicationPings = 0

    package init() {}

    /// Any bytes came from the peer.
    package mutating func hear() {
        self.heard = true
    }

    /// A ping of the application was forwarded to the peer.
    package mutating func applicationPing() {
        self.applicationPings = min(self.applicationPings + 1, 1)
    }

    /// A pong that is not ours came from the peer.
    package mutating func applicationPong() {
        self.applicationPings = 0
    }

    /// One period has passed.
    package mutating func tick() -> OnTick {
        if self.heard {
            self.heard = false
            self.probing = false
            return .nothing
        }
        if self.probing { return .lost }
        self.probing = true
        return self.applicationPings > 0 ? .nothing : .ping
    }
}

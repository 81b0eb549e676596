/// Keepalive of one WebSocket leg: a ping when the leg was silent for one period, lost when it stays silent for
/// another.
///
/// The hot path only sets a flag; the clock is read once a period by whoever calls `tick`.
///
/// An endpoint may answer only the latest of several pings (RFC 6455 5.5.3), so ours is not sent while an
/// application's ping waits for its pong: that ping probes the leg as well as ours would.
///
/// No ping can be put into a frame that the other leg is bringing. A leg whose ping waits for the end of such a frame has
/// not been asked, and is excused as long as that frame goes on. If the frame stops, both peers may be gone.
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

    /// Any bytes came from the peer since the last tick.
    package var hasHeard: Bool { self.heard }

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

    /// Call this when a period has passed.
    ///
    /// - Parameters:
    ///   - isPaused: the peer is not read, so that nothing can be heard of it.
    ///   - isUnasked: a ping waits for the end of a frame of the other leg.
    ///   - goesOn: the other leg has brought bytes in the period, or is not read either.
    package mutating func tick(isPaused: Bool, isUnasked: Bool, goesOn: Bool) -> OnTick {
        if isPaused || (isUnasked && goesOn) { self.hear() }
        switch self.tick() {
        // It waits already. Another would make the leg wait for both.
        case .ping where isUnasked: return .nothing
        case let action: return action
        }
    }

    /// A period has passed for a leg into which a ping can be written at any time.
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

/// The keepalive of a session's two legs.
package struct Keepalives: Equatable, Sendable {
    /// How a leg stands when a period has passed.
    package struct Standing: Equatable, Sendable {
        fileprivate var isPaused: Bool
        fileprivate var isUnasked: Bool

        /// - Parameters:
        ///   - isPaused: the peer is not read.
        ///   - isUnasked: a ping waits for the end of a frame of the other leg.
        package init(isPaused: Bool, isUnasked: Bool) {
            self.isPaused = isPaused
            self.isUnasked = isUnasked
        }
    }

    package var client = Keepalive()
    package var upstream = Keepalive()

    package init() {}

    /// A period has passed for both legs. A client that polls has no leg.
    package mutating func tick(
        client: Standing?, upstream: Standing
    ) -> (client: Keepalive.OnTick, upstream: Keepalive.OnTick) {
        // Each tick begins a period, so both are asked before.
        let clientGoesOn = client.map { $0.isPaused || self.client.hasHeard } ?? true
        let upstreamGoesOn = upstream.isPaused || self.upstream.hasHeard
        let first = client.map {
            self.client.tick(isPaused: $0.isPaused, isUnasked: $0.isUnasked, goesOn: upstreamGoesOn)
        }
        let second = self.upstream.tick(
            isPaused: upstream.isPaused, isUnasked: upstream.isUnasked, goesOn: clientGoesOn)
        return (first ?? .nothing, second)
    }

    /// An application's ping goes from `side` to the other one.
    package mutating func pingPassed(from side: Endpoint) {
        if side == .client { self.upstream.applicationPing() } else { self.client.applicationPing() }
    }

    /// `side` has sent a pong that is not Culvert's.
    package mutating func pongCame(from side: Endpoint) {
        if side == .client { self.client.applicationPong() } else { self.upstream.applicationPong() }
    }
}

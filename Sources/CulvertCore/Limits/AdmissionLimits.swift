package import NIOCore

/// What may be opened by one client address, token or route. Nil is without limit.
package struct AdmissionLimits: Equatable, Sendable {
    /// Open, or being opened.
    package var sessions: Int?
    /// Sessions opened.
    package var rate: BucketRate?
    /// In flight.
    package var handshakes: Int?

    package init(sessions: Int? = nil, rate: BucketRate? = nil, handshakes: Int? = nil) {
        self.sessions = sessions
        self.rate = rate
        self.handshakes = handshakes
    }

    /// Nothing need be looked up.
    package var isEmpty: Bool { self.sessions == nil && self.rate == nil && self.handshakes == nil }
}

/// Whose limit it is, from the narrowest: what one client uses up must not be what others are refused for.
package enum AdmissionScope: String, Sendable, CaseIterable {
    case address
    case token
    case route
    case process
}

package enum AdmissionLimit: String, Sendable, CaseIterable {
    case sessions
    case rate
    case handshakes
}

/// Why no session is opened now.
package struct AdmissionDenial: Error, Equatable, Sendable {
    package var scope: AdmissionScope
    package var limit: AdmissionLimit
    /// Nil when nobody knows when a place will be free.
    package var wait: TimeAmount?

    package init(scope: AdmissionScope, limit: AdmissionLimit, wait: TimeAmount? = nil) {
        self.scope = scope
        self.limit = limit
        self.wait = wait
    }

    /// The client's own doing, or not.
    package var status: Int {
        switch self.scope {
        case .address, .token: 429
        case .route, .process: 503
        }
    }

    package var code: String {
        switch self.limit {
        case .sessions: "too_many_sessions"
        case .rate: "too_many_openings"
        case .handshakes: "too_many_handshakes"
        }
    }

    package var detail: String {
        let whose =
            switch self.scope {
            case .address: "This address"
            case .token: "The token"
            case .route: "This route"
            case .process: "This server"
            }
        return switch self.limit {
        case .sessions: "\(whose) has as many sessions as it may."
        case .rate: "\(whose) has opened as many sessions of late as it may."
        case .handshakes: "\(whose) has as many handshakes under way as it may."
        }
    }

    /// Seconds, for `Retry-After`: rounded up, so that who comes back then is let in.
    package var retryAfter: Int {
        guard let wait = self.wait else { return self.limit == .handshakes ? 1 : 5 }
        return Int(clamping: wait.nanoseconds / 1_000_000_000 + (wait.nanoseconds % 1_000_000_000 > 0 ? 1 : 0))
    }
}

/// What clients are told apart by.
package enum AddressKey: Hashable, Sendable {
    case v4(UInt32)
    /// The first 64 bits: whoever has one address of a subnet has all of them (RFC 4291 2.5.4).
    case v6(UInt64)
    /// A peer without an address.
    case none

    package init(_ text: String) {
        self = IPAddress(text)?.limitKey ?? .none
    }
}

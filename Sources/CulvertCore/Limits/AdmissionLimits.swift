package import NIOCore

/// The limits of one client address, token or route. A member that is nil sets no limit.
package struct AdmissionLimits: Equatable, Sendable {
    /// The most sessions that are open or being opened.
    package var sessions: Int?
    /// The rate at which sessions are opened.
    package var rate: BucketRate?
    /// The most handshakes in flight.
    package var handshakes: Int?

    package init(sessions: Int? = nil, rate: BucketRate? = nil, handshakes: Int? = nil) {
        self.sessions = sessions
        self.rate = rate
        self.handshakes = handshakes
    }

    /// True if no limit is set. The caller then does not ask the table.
    package var isEmpty: Bool { self.sessions == nil && self.rate == nil && self.handshakes == nil }
}

/// The scope of a limit, from the narrowest on. The narrowest is asked first, so that a client that has used up its own
/// limit takes nothing from others.
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
    /// Nil if it is unknown when a place will be free.
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
        case .sessions: "\(whose) has reached its limit of open sessions."
        case .rate: "\(whose) opens sessions faster than its limit allows."
        case .handshakes: "\(whose) has reached its limit of handshakes in flight."
        }
    }

    /// Seconds, for `Retry-After`: rounded up, so that who comes back then is let in.
    package var retryAfter: Int {
        guard let wait = self.wait else { return self.limit == .handshakes ? 1 : 5 }
        return Int(clamping: wait.nanoseconds / 1_000_000_000 + (wait.nanoseconds % 1_000_000_000 > 0 ? 1 : 0))
    }
}

/// The key that tells clients apart: an address, or a network of IPv6.
package enum AddressKey: Hashable, Sendable {
    case v4(UInt32)
    /// The first 64 bits, because a client with one address of a subnet can use all of them (RFC 4291 2.5.4).
    case v6(UInt64)
    /// A peer without an address.
    case none

    package init(_ text: String) {
        self = IPAddress(text)?.limitKey ?? .none
    }
}

extension IPAddress {
    /// The key by which limits count the address.
    package var limitKey: AddressKey {
        self.isIPv4
            ? .v4(UInt32(truncatingIfNeeded: self.number)) : .v6(UInt64(truncatingIfNeeded: self.number >> 64))
    }
}

package import NIOCore

/// `Strict-Transport-Security` (RFC 6797): a browser that has read it comes over TLS from then on.
package struct StrictTransport: Sendable, Equatable {
    package var maxAge: TimeAmount
    package var includeSubdomains: Bool
    package var preload: Bool

    package init(maxAge: TimeAmount, includeSubdomains: Bool = false, preload: Bool = false) {
        self.maxAge = maxAge
        self.includeSubdomains = includeSubdomains
        self.preload = preload
    }

    package var value: String {
        "max-age=\(self.maxAge.nanoseconds / 1_000_000_000)" + (self.includeSubdomains ? "; includeSubDomains" : "")
            + (self.preload ? "; preload" : "")
    }
}

package import NIOCore
package import NIOSSL

/// Fetches of sets of keys look names up, speak TLS and describe failures through this. The edge makes it, and tasks use
/// it, on no loop.
package struct KeySetNetwork: Sendable {
    package typealias ChannelCheck = @Sendable (any Channel) -> EventLoopFuture<Void>

    /// Looks a name up until the deadline. The time is how long there was for all of it, for the message.
    package var lookUp: @Sendable (_ host: String, NIODeadline, TimeAmount) async throws(KeySetFault) -> Void
    /// The TLS of a client, which trusts the authorities of the system.
    package var makeTLS: @Sendable () -> TLSConfiguration
    /// Fails when the server at the other end of a channel has shown a certificate for another name. Nil for an address:
    /// NIOSSL checks an address itself.
    package var nameCheck: @Sendable (_ host: String) -> ChannelCheck?
    /// Why a connection failed, in words; nil for an error that is neither of TLS nor of the system.
    package var reason: @Sendable (any Error) -> String?

    package init(
        lookUp: @escaping @Sendable (_ host: String, NIODeadline, TimeAmount) async throws(KeySetFault) -> Void,
        makeTLS: @escaping @Sendable () -> TLSConfiguration,
        nameCheck: @escaping @Sendable (_ host: String) -> ChannelCheck?,
        reason: @escaping @Sendable (any Error) -> String?
    ) {
        self.lookUp = lookUp
        self.makeTLS = makeTLS
        self.nameCheck = nameCheck
        self.reason = reason
    }
}

extension KeySetFault {
    package static let otherName = KeySetFault(
        description: "the server's certificate is not for the host of the URL")
}

import CulvertEdge
package import CulvertTokens
import NIOCore
import NIOPosix
import NIOSSL

extension KeySetNetwork {
    /// Looks names up and speaks TLS as the edge does with its upstreams.
    package static let ofEdge = KeySetNetwork(
        lookUp: lookUp, makeTLS: { TLSConfiguration.client() }, nameCheck: nameCheck, reason: reason)

    @Sendable
    private static func lookUp(
        _ host: String, until deadline: NIODeadline, within time: TimeAmount
    ) async throws(KeySetFault) {
        do {
            _ = try await NameResolver.system.addresses(of: host, port: 0, until: deadline)
        } catch {
            throw KeySetFault(description: DialFailure(error, host: host, within: time).description)
        }
    }

    @Sendable
    private static func nameCheck(_ host: String) -> ChannelCheck? {
        guard let name = PeerName(host) else { return nil }
        return { name.check($0) }
    }

    @Sendable
    private static func reason(_ error: any Error) -> String? {
        switch error {
        case is PeerName.Mismatch: KeySetFault.otherName.description
        case let error as IOError: ConnectionFault.words(error)
        default: TLSFault.reason(error)
        }
    }
}

package import CulvertConfig
import NIOCore
import NIOSSL

/// TLS towards the `wss` servers of one upstream.
package struct UpstreamTLS: Sendable {
    private let context: NIOSSLContext
    /// In place of the name in a server's URL.
    private let serverName: String?

    /// - Returns: nil when no server wants TLS.
    /// - Throws: what keeps a certificate from being used.
    package init?(_ config: UpstreamConfig) throws {
        guard config.servers.contains(where: \.isSecure) else { return nil }
        var tls = TLSConfiguration.client()
        if let ca = config.ca {
            try TLSContexts.refuseUnfitAuthorities(ca)
            tls.trustRoots = .file(ca)
        }
        tls.applicationProtocols = ["http/1.1"]
        tls.shutdownTimeout = TLSContexts.shutdownTimeout
        if let pair = config.clientCertificate {
            try TLSContexts.refuseIrregular(pair.certificate)
            try TLSContexts.refuseIrregular(pair.key)
            do {
                tls.certificateChain = try NIOSSLCertificate.fromPEMFile(pair.certificate).map { .certificate($0) }
                tls.privateKey = .privateKey(try NIOSSLPrivateKey(file: pair.key, format: .pem))
            } catch {
                throw TLSContexts.Unusable(description: TLSContexts.fault(of: pair, error))
            }
        }
        self.context = try NIOSSLContext(configuration: tls)
        self.serverName = config.serverName
    }

    /// - Parameter feeder: stands before TLS; nil for a check, of which there are few.
    func addHandlers(
        for server: UpstreamServer, feeder: TLSFeeder? = nil, to pipeline: ChannelPipeline.SynchronousOperations
    ) throws {
        // SNI may not carry an address (RFC 6066 section 3); the certificate must be for it all the same.
        let name = self.serverName ?? (server.host.isIPAddress ? nil : server.host)
        if let feeder { try pipeline.addHandler(feeder) }
        try pipeline.addHandler(
            NIOSSLClientHandler(context: self.context, serverHostname: name, configuration: .small))
        if let feeder { try pipeline.addHandler(HandshakeEnd(feeder)) }
        if let name = name.flatMap(PeerName.init) { try pipeline.addHandler(PeerNameCheck(name)) }
    }
}

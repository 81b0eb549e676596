package import CulvertConfig
import CulvertCore
import CulvertSystem
import Foundation
import NIOCore
package import NIOSSL

/// The TLS of one listener: several certificates, chosen by the name the client asks for (RFC 6066 section 3).
package enum TLSContexts {
    /// A certificate that could not be used; names the file, holds nothing of it.
    struct Unusable: Error, CustomStringConvertible {
        var description: String
    }

    /// How long a closed connection waits for the peer's close_notify, which many never send (RFC 8446 6.1 does not ask
    /// for it); also how long one that is cut may take.
    static let shutdownTimeout = TimeAmount.seconds(1)

    private struct Identity: Sendable {
        var chain: [NIOSSLCertificateSource]
        var key: NIOSSLPrivateKeySource
        var names: [String]
    }

    /// - Parameter clientCA: PEM file of the authorities whose client certificates are demanded; nil to ask for none.
    package static func make(_ config: TLSConfig, clientCA: String? = nil) throws -> ServerTLS {
        let identities = try config.certificates.map(Self.load)
        guard let first = identities.first else { throw Unusable(description: "a TLS listener without a certificate") }
        // BoringSSL would find out in a client's handshake that the key of another pair does not fit. It looks at the
        // first pair below.
        for (identity, pair) in zip(identities, config.certificates).dropFirst() { try Self.check(identity, pair) }
        var tls = TLSConfiguration.makeServerConfiguration(certificateChain: first.chain, privateKey: first.key)
        tls.minimumTLSVersion = config.minimumVersion == .v1_3 ? .tlsv13 : .tlsv12
        // curl --http1.0 and old proxies offer the latter alone. NIO speaks both.
        tls.applicationProtocols = ["http/1.1", "http/1.0"]
        tls.shutdownTimeout = Self.shutdownTimeout
        if let clientCA {
            try Self.refuseUnfitAuthorities(clientCA)
            tls.trustRoots = .file(clientCA)
            // There is no name to compare: every client with a certificate of the authority is let in.
            tls.certificateVerification = .noHostnameVerification
        }
        if identities.count > 1 {
            tls.sslContextCallback = { values, promise in
                var override = NIOSSLContextConfigurationOverride.noChanges
                if let name = values.serverHostname?.asciiLowercased,
                    let match = identities.first(where: { $0.names.contains { Self.matches($0, name) } })
                {
                    override.certificateChain = match.chain
                    override.privateKey = match.key
                }
                promise.succeed(override)
            }
        }
        return try ServerTLS(tls, hsts: config.hsts)
    }

    /// - Throws: ``Unusable`` when the key is not the certificate's.
    private static func check(_ identity: Identity, _ pair: CertificatePair) throws(Unusable) {
        do {
            _ = try NIOSSLContext(
                configuration: .makeServerConfiguration(certificateChain: identity.chain, privateKey: identity.key))
        } catch {
            throw Unusable(
                description: "\(pair.key): \(CertificateFault.pair(pair, error))\(FileDescriptors.note)")
        }
    }

    /// - Throws: when a PEM file of authorities cannot be used.
    static func checkAuthorities(_ file: String) throws {
        try self.refuseUnfitAuthorities(file)
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .file(file)
        _ = try NIOSSLContext(configuration: tls)
    }

    /// The certificates that ``make(_:clientCA:)`` has loaded.
    static func infos(_ config: TLSConfig, listener: String) throws -> [CertificateInfo] {
        try config.certificates.compactMap { pair in
            try Self.refuseIrregular(pair.certificate)
            do {
                return try NIOSSLCertificate.fromPEMFile(pair.certificate).first.map { certificate in
                    CertificateInfo(
                        listener: listener, file: pair.certificate, names: Self.names(of: certificate),
                        notBefore: Int64(certificate.notValidBefore), notAfter: Int64(certificate.notValidAfter))
                }
            } catch {
                throw Unusable(description: Self.fault(of: pair, error))
            }
        }
    }

    /// - Throws: ``Unusable`` for a file whose reading might not end.
    static func refuseIrregular(_ file: String) throws(Unusable) {
        if let fault = FileFault.irregular(file) { throw Unusable(description: "\(file): \(fault)") }
    }

    /// - Throws: ``Unusable`` for a path that cannot be that of authorities.
    static func refuseUnfitAuthorities(_ file: String) throws(Unusable) {
        if let fault = FileFault.unfitForAuthorities(file) { throw Unusable(description: "\(file): \(fault)") }
    }

    private static func load(_ pair: CertificatePair) throws -> Identity {
        try self.refuseIrregular(pair.certificate)
        try self.refuseIrregular(pair.key)
        do {
            let certificates = try NIOSSLCertificate.fromPEMFile(pair.certificate)
            let key = try NIOSSLPrivateKey(file: pair.key, format: .pem)
            let names = certificates.first.map(Self.names) ?? []
            return Identity(chain: certificates.map { .certificate($0) }, key: .privateKey(key), names: names)
        } catch {
            throw Unusable(description: Self.fault(of: pair, error))
        }
    }

    /// The file of a pair that cannot be used by itself, and why.
    static func fault(of pair: CertificatePair, _ error: any Error) -> String {
        if let fault = CertificateFault.certificate(pair.certificate) { return "\(pair.certificate): \(fault)" }
        if let fault = CertificateFault.key(pair.key) { return "\(pair.key): \(fault)" }
        return "\(pair.certificate) with key \(pair.key): \(CertificateFault.words(error))"
    }

    static func names(of certificate: NIOSSLCertificate) -> [String] {
        certificate._subjectAlternativeNames().compactMap { name in
            guard name.nameType == .dnsName else { return nil }
            return String(decoding: name.contents, as: UTF8.self).asciiLowercased
        }
    }

    /// A wildcard stands for exactly one label (RFC 9525 6.3).
    static func matches(_ pattern: String, _ name: String) -> Bool {
        guard pattern.begins(with: "*.") else { return pattern.equals(name) }
        guard let (label, rest) = name.split(at: UInt8(ascii: ".")), !label.isEmpty else { return false }
        return rest.equals(pattern.dropping(2))
    }
}

extension TLSConfiguration {
    /// The TLS that Culvert speaks as a client: 1.2 or later, with the suites of ``CipherOrder`` for 1.2, and
    /// ``KeyGroups``.
    package static func client() -> TLSConfiguration {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.minimumTLSVersion = .tlsv12
        tls.cipherSuites = CipherOrder.names
        tls.curves = KeyGroups.all.map { NIOTLSCurve(rawValue: $0) }
        return tls
    }
}

extension NIOSSLHandler.Configuration {
    /// A connection keeps a buffer of 32 KiB at most for what TLS has encrypted, whatever it has once written.
    static var small: Self {
        var configuration = Self()
        configuration.maximumPreservedOutboundBufferCapacity = 32 * 1024
        return configuration
    }
}

import Foundation
import SwiftASN1
import X509

/// What the demo tells of the certificate that it serves: who has made it, and by which name clients reach it.
package struct CertificateFacts: Equatable, Sendable {
    /// The demo has made it, and no authority has signed it.
    package var isOfDemo: Bool
    /// A name or an address that it is for: one of this machine if it has any. Nil if it is for none.
    package var host: String?

    /// Whether `host` is this machine, whatever its resolver says.
    package var isLocal: Bool { self.host.map { Self.localHosts.contains($0) } ?? true }

    private static let localHosts = ["localhost", "127.0.0.1"]

    /// - Parameter path: of a file in PEM; the first certificate counts, which is the one that clients check.
    /// - Throws: an error of Foundation or of X509 for a file that holds none.
    package init(path: String) throws {
        try self.init(certificate: DevelopmentCertificate.first(in: try String(contentsOfFile: path, encoding: .utf8)))
    }

    private init(certificate: Certificate) throws {
        self.isOfDemo = try DevelopmentCertificate.made(certificate)
        let names = try certificate.extensions.subjectAlternativeNames.map(Array.init) ?? []
        let hosts = names.compactMap { name -> String? in
            switch name {
            // Any name stands for the star.
            case .dnsName(let text) where text.hasPrefix("*."): "demo" + text.dropFirst()
            case .dnsName(let text): text
            case .ipAddress(let bytes) where bytes.bytes.elementsEqual([127, 0, 0, 1]): "127.0.0.1"
            default: nil
            }
        }
        self.host = Self.localHosts.first { hosts.contains($0) } ?? hosts.first
    }
}

import CulvertCore
import NIOSSL

/// Says in words why a TLS handshake failed. The descriptions of NIOSSL's errors are names of its cases, and quote
/// BoringSSL's source files by their paths on the machine that built them.
package enum TLSFault {
    /// The configuration's keys that a message may name depend on the end of the connection that had the error.
    package enum Role: Sendable {
        /// A connection to a server of the configuration, whose authorities are those of a key `ca`.
        case upstream
        /// A command that asks the admin API. It trusts the authorities of the system alone.
        case command
        case listener

        /// NIOSSL reads the files of the system from fixed places: SSL_CERT_FILE has no effect.
        fileprivate var untrusted: String {
            switch self {
            case .upstream, .listener:
                "the server's certificate is not trusted: no authority of \"ca\", or of the system where there is no "
                    + "\"ca\", vouches for it (a self-signed one stands in \"ca\" itself), or it has expired"
            case .command:
                "the server's certificate is not trusted: no authority of this system vouches for it, or it has "
                    + "expired; add its authority to the system's (update-ca-certificates, update-ca-trust), since "
                    + "SSL_CERT_FILE is not read, or use the admin API over a Unix socket"
            }
        }

        fileprivate var unreadable: String {
            switch self {
            case .upstream: "the file of \"ca\" cannot be read as PEM certificates"
            case .command: "the authorities of this system cannot be read as PEM certificates; install ca-certificates"
            case .listener: "a file of certificates cannot be read as PEM certificates"
            }
        }
    }

    /// - Returns: nil for an error that is none of TLS.
    package static func reason(_ error: any Error, of role: Role = .upstream) -> String? {
        switch error {
        case let error as NIOSSLExtraError where error == .failedToValidateHostname:
            return "the server's certificate is not for the name or address in its URL"
        case let error as NIOSSLError:
            switch error {
            case .handshakeFailed(let why): return self.reason(handshake: why, role)
            case .unableToValidateCertificate, .noCertificateToValidate: return role.untrusted
            case .uncleanShutdown: return "the server ended the connection without the close of TLS"
            case .noSuchFilesystemObject, .failedToLoadCertificate: return role.unreadable
            default: return "the TLS connection failed"
            }
        case let error as BoringSSLError: return self.reason(handshake: error, role)
        case is NIOSSLExtraError, is NIOTLSUnwrappingError, is NIOSSLCloseTimedOutError:
            return "the TLS connection failed"
        default: return nil
        }
    }

    /// Whether a connection to a server failed before a request went out in it: a request waits for the TLS handshake.
    static func isBeforeRequest(_ error: any Error) -> Bool {
        switch error {
        case is PeerName.Mismatch: true
        case let error as NIOSSLExtraError: error == .failedToValidateHostname
        case let error as NIOSSLError:
            switch error {
            case .handshakeFailed, .unableToValidateCertificate, .noCertificateToValidate: true
            default: false
            }
        default: false
        }
    }

    private static func reason(handshake error: BoringSSLError, _ role: Role) -> String {
        let words = self.codes(of: error)
        if words.contains(where: { $0.equals("CERTIFICATE_VERIFY_FAILED") }) { return role.untrusted }
        // Another protocol answers a ClientHello with text: a server of plain HTTP, for example.
        if words.contains(where: ["WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"].contains) {
            return "the TLS handshake failed: the server speaks no TLS there"
        }
        if let alert = words.first(where: { $0.contains(bytesOf: "_ALERT_") }) {
            return "the server refused the TLS handshake: \(self.text(alert))"
        }
        if case .sslError(let stack) = error, stack.contains(.eofDuringHandshake) {
            return "the server closed the connection during the TLS handshake"
        }
        if let word = words.first { return "the TLS handshake failed: \(self.text(word))" }
        return "the TLS handshake failed; the server may speak no TLS, or have closed the connection"
    }

    /// The reasons in BoringSSL's stack of errors, for the end of a message; empty where there are none.
    static func detail(_ error: any Error) -> String {
        guard let error = error as? BoringSSLError else { return "" }
        let words = self.codes(of: error).map(self.text)
        return words.isEmpty ? "" : ": " + words.joined(separator: ", ")
    }

    /// BoringSSL's names of what went wrong, such as `CERTIFICATE_VERIFY_FAILED`.
    ///
    /// An entry of the stack reads `Error: CODE error:HEX:LIBRARY:OPENSSL_internal:REASON at FILE:LINE`.
    private static func codes(of error: BoringSSLError) -> [String] {
        let stack: NIOBoringSSLErrorStack
        switch error {
        case .sslError(let errors), .unknownError(let errors), .invalidSNIName(let errors),
            .failedToSetALPN(let errors):
            stack = errors
        default: return []
        }
        return stack.compactMap { entry -> String? in
            let parts = entry.description.utf8.split { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: " ") }
            guard let mark = parts.firstIndex(where: { $0.elementsEqual("OPENSSL_internal".utf8) }),
                mark + 1 < parts.endIndex
            else { return nil }
            return String(Substring(parts[mark + 1]))
        }
    }

    private static func text(_ code: String) -> String {
        String(decoding: code.asciiLowercased.utf8.map { $0 == UInt8(ascii: "_") ? 0x20 : $0 }, as: UTF8.self)
    }
}

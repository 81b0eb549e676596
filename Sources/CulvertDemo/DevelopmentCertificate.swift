import Crypto
package import Foundation
import SwiftASN1
import X509

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A self-signed certificate for `localhost`, so that the demo speaks TLS without any preparation.
package enum DevelopmentCertificate {
    /// Why no certificate could be made.
    package enum Failure: Error, Equatable, CustomStringConvertible {
        /// Files are there that this code did not write, and they cannot be used as they are.
        case foreignFiles(String)
        /// A system call failed on a file.
        case file(String, errno: Int32)

        package var description: String {
            switch self {
            case .foreignFiles(let text): text
            case .file(let path, let number):
                "the development certificate cannot be written: \(path): \(String(cString: strerror(number)))"
                    + "; name another folder with --certs"
            }
        }
    }

    /// Days a fresh certificate is valid. Short: nobody should come to rely on it.
    package static let validDays = 90

    private static let organization = "Culvert development certificate"
    private static let day: TimeInterval = 86_400

    /// Makes sure that `directory` holds a usable `edge.pem` and `edge.key`.
    ///
    /// Files that are there and valid for more than a day are used as they are. Only a certificate made here is ever
    /// replaced: what an operator put in its place is not ours to overwrite.
    ///
    /// - Returns: the paths of both files, and whether they were made just now.
    /// - Throws: ``Failure``, or an error of Foundation when a file that is there cannot be read.
    package static func ensure(directory: String) throws -> (certificate: String, key: String, created: Bool) {
        try ensure(directory: directory, now: Date())
    }

    /// As ``ensure(directory:)``, at a given time.
    package static func ensure(
        directory: String,
        now: Date
    ) throws -> (certificate: String, key: String, created: Bool) {
        let folder = URL(fileURLWithPath: directory, isDirectory: true)
        let certificatePath = folder.appendingPathComponent("edge.pem").path
        let keyPath = folder.appendingPathComponent("edge.key").path
        if try isUsable(certificatePath: certificatePath, keyPath: keyPath, now: now) {
            return (certificatePath, keyPath, false)
        }
        try make(folder)
        let key = P256.Signing.PrivateKey()
        let certificate = try make(for: key, now: now)
        // The certificate goes first: should we die in between, a lone certificate of ours is replaced at the next
        // start, while a lone key would have to be treated as somebody else's.
        try replace(certificatePath, with: certificate.serializeAsPEM().pemString + "\n", mode: 0o644)
        try replace(keyPath, with: key.pemRepresentation + "\n", mode: 0o600)
        return (certificatePath, keyPath, true)
    }

    /// Makes the folder, and those above it that are not there.
    private static func make(_ folder: URL) throws {
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        } catch {
            // Foundation's error does not say why in words. mkdir(2) fails for the same reason.
            var missing = folder.standardizedFileURL
            while missing.path != "/",
                !FileManager.default.fileExists(atPath: missing.deletingLastPathComponent().path)
            {
                missing.deleteLastPathComponent()
            }
            let path = missing.path
            guard mkdir(path, 0o755) != 0 else { throw error }
            let number = errno
            throw Failure.file(path, errno: number)
        }
    }

    /// True: use the files. False: there are none, or they are ours and must be made anew.
    private static func isUsable(certificatePath: String, keyPath: String, now: Date) throws -> Bool {
        let hasKey = FileManager.default.fileExists(atPath: keyPath)
        guard FileManager.default.fileExists(atPath: certificatePath) else {
            guard !hasKey else {
                throw Failure.foreignFiles("\(keyPath) is there without \(certificatePath); move it away")
            }
            return false
        }
        let text = try String(contentsOfFile: certificatePath, encoding: .utf8)
        guard let certificate = try? first(in: text) else {
            throw Failure.foreignFiles("\(certificatePath) is not a PEM certificate; move it away")
        }
        let isOurs = try made(certificate)
        let isFresh = certificate.notValidBefore <= now && certificate.notValidAfter > now.addingTimeInterval(day)
        if isOurs {
            // A pair that does not belong together (one file restored from elsewhere) would fail every handshake.
            return hasKey && isFresh && keyMatches(certificate, keyPath: keyPath)
        }
        guard hasKey else {
            throw Failure.foreignFiles("\(certificatePath) is there without \(keyPath); move it away")
        }
        // Not ours: the operator's business until it is really over.
        guard certificate.notValidAfter > now else {
            throw Failure.foreignFiles("\(certificatePath) has expired; renew it or move it away")
        }
        return true
    }

    /// The certificate that clients check; those of its issuers follow it.
    static func first(in text: String) throws -> Certificate {
        guard let document = try PEMDocument.parseMultiple(pemString: text).first else {
            return try Certificate(pemEncoded: text)
        }
        return try Certificate(pemDocument: document)
    }

    /// Whether a certificate was made here, at any start.
    static func made(_ certificate: Certificate) throws -> Bool {
        try certificate.subject == self.subject() && certificate.issuer == certificate.subject
    }

    private static func keyMatches(_ certificate: Certificate, keyPath: String) -> Bool {
        guard let text = try? String(contentsOfFile: keyPath, encoding: .utf8),
            let key = try? P256.Signing.PrivateKey(pemRepresentation: text)
        else { return false }
        return certificate.publicKey == Certificate.PublicKey(key.publicKey)
    }

    private static func subject() throws -> DistinguishedName {
        try DistinguishedName {
            OrganizationName(organization)
            CommonName("localhost")
        }
    }

    private static func make(for key: P256.Signing.PrivateKey, now: Date) throws -> Certificate {
        let name = try subject()
        return try Certificate(
            version: .v3,
            serialNumber: Certificate.SerialNumber(),
            publicKey: Certificate.PublicKey(key.publicKey),
            // An hour back, for a client in a container or a virtual machine whose clock lags.
            notValidBefore: now.addingTimeInterval(-3_600),
            notValidAfter: now.addingTimeInterval(Double(validDays) * day),
            issuer: name,
            subject: name,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                // An end entity, not an authority: several TLS stacks refuse a CA certificate as a server's own (RFC
                // 5280, 4.2.1.9), and trusting this file must not mean trusting whatever its key might sign. There is
                // no Key Usage: with one that lacks keyCertSign, some stacks no longer take a self-signed certificate
                // as its own issuer (RFC 5280, 4.2.1.3), with keyCertSign it would contradict the line below.
                Critical(BasicConstraints.notCertificateAuthority)
                try ExtendedKeyUsage([.serverAuth])
                SubjectAlternativeNames([
                    .dnsName("localhost"),
                    .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1])),
                    .ipAddress(ASN1OctetString(contentBytes: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])),
                ])
                SubjectKeyIdentifier(hash: Certificate.PublicKey(key.publicKey))
            },
            issuerPrivateKey: Certificate.PrivateKey(key)
        )
    }

    /// Writes a new file beside the old one and puts it in its place, so that no reader sees half of it.
    ///
    /// The mode is given when the file is made: a key that is closed afterwards was open for a moment.
    private static func replace(_ path: String, with text: String, mode: mode_t) throws {
        let temporary = "\(path).\(getpid()).new"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw Failure.file(temporary, errno: errno) }
        var failure: Int32 = 0
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty && failure == 0 {
            let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if written >= 0 {
                bytes = bytes.dropFirst(written)
            } else if errno != EINTR {
                failure = errno
            }
        }
        if fsync(descriptor) != 0 && failure == 0 { failure = errno }
        if close(descriptor) != 0 && failure == 0 { failure = errno }
        if failure == 0 && rename(temporary, path) != 0 { failure = errno }
        guard failure == 0 else {
            unlink(temporary)
            throw Failure.file(path, errno: failure)
        }
    }
}

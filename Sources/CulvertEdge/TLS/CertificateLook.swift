import CulvertConfig
import CulvertCore
import NIOSSL

/// Facts of a PEM file with a certificate and its chain, for warnings.
package struct CertificateLook {
    /// Unix seconds, of the first certificate, as ``notAfter``.
    package let notBefore: Int64
    package let notAfter: Int64
    /// The index of the first certificate that did not issue the one before it; nil for a chain in order.
    package let strayInChain: Int?
    private let names: [String]
    private let addresses: [IPAddress]

    /// Nil for a file that holds no certificate; ``CertificateFault`` says why.
    package init?(_ file: String) {
        guard FileFault.irregular(file) == nil, let chain = try? NIOSSLCertificate.fromPEMFile(file),
            let first = chain.first
        else { return nil }
        self.notBefore = Int64(first.notValidBefore)
        self.notAfter = Int64(first.notValidAfter)
        self.names = TLSContexts.names(of: first)
        self.addresses = first._subjectAlternativeNames().compactMap { name in
            name.nameType == .ipAddress ? IPAddress(networkOrder: name.contents) : nil
        }
        let parties = chain.map { try? CertificateParties(der: $0.toDERBytes()) }
        self.strayInChain = parties.indices.dropFirst().first { index in
            guard let issued = parties[index - 1], let issuer = parties[index] else { return false }
            return issued.issuer != issuer.subject
        }
    }

    /// Whether a client takes the certificate for the host of a route: a name, or an address, with brackets for IPv6.
    package func covers(_ host: String) -> Bool {
        var host = host.asciiLowercased
        if host.begins(with: "[") { host = String(decoding: host.utf8.dropFirst().dropLast(), as: UTF8.self) }
        if let address = IPAddress(host) { return self.addresses.contains(address) }
        if host.utf8.last == UInt8(ascii: ".") { host = String(decoding: host.utf8.dropLast(), as: UTF8.self) }
        return self.names.contains { TLSContexts.matches($0, host) }
    }

    /// The last moment, in Unix seconds, at which a certificate of the file is valid; nil for a file that has none.
    package static func latestEnd(of file: String) -> Int64? {
        guard FileFault.irregular(file) == nil else { return nil }
        return (try? NIOSSLCertificate.fromPEMFile(file))?.map { Int64($0.notValidAfter) }.max()
    }

    /// Whether each certificate of the file has an issuer of another name and may not issue any itself: TLS then trusts
    /// none by this file.
    package static func hasNoAuthority(_ file: String) -> Bool {
        guard FileFault.irregular(file) == nil, let all = try? NIOSSLCertificate.fromPEMFile(file), !all.isEmpty else {
            return false
        }
        return all.allSatisfy { certificate in
            guard let parties = try? CertificateParties(der: certificate.toDERBytes()) else { return false }
            return !parties.isAuthority && parties.issuer != parties.subject
        }
    }
}

/// The names of a certificate's issuer and subject, as they are encoded (RFC 5280 section 4.1), and its right to issue.
struct CertificateParties {
    var issuer: [UInt8]
    var subject: [UInt8]
    /// The certificate may issue others (RFC 5280 section 4.2.1.9).
    var isAuthority: Bool

    /// Nil for bytes that are no certificate.
    init?(der: [UInt8]) {
        var outer = DERReader(der[...])
        guard let certificate = outer.next(0x30) else { return nil }
        var inner = DERReader(certificate)
        guard let signed = inner.next(0x30) else { return nil }
        var fields = DERReader(signed)
        // The version has its default in certificates of version 1.
        _ = fields.next(0xA0)
        guard fields.next(0x02) != nil, fields.next(0x30) != nil, let issuer = fields.next(0x30),
            fields.next(0x30) != nil, let subject = fields.next(0x30)
        else { return nil }
        self.issuer = Array(issuer)
        self.subject = Array(subject)
        // The key, and identifiers that nobody uses any more.
        for tag: UInt8 in [0x30, 0x81, 0x82] { _ = fields.next(tag) }
        self.isAuthority = fields.next(0xA3).map(Self.mayIssue) ?? false
    }

    /// - Parameter bytes: the extensions.
    private static func mayIssue(_ bytes: ArraySlice<UInt8>) -> Bool {
        var outer = DERReader(bytes)
        guard let list = outer.next(0x30) else { return false }
        var extensions = DERReader(list)
        while let entry = extensions.next(0x30) {
            var parts = DERReader(entry)
            // id-ce-basicConstraints.
            guard let name = parts.next(0x06), name.elementsEqual([0x55, 0x1D, 0x13]) else { continue }
            _ = parts.next(0x01)
            guard let value = parts.next(0x04) else { return false }
            var wrapped = DERReader(value)
            guard let constraints = wrapped.next(0x30) else { return false }
            var members = DERReader(constraints)
            return members.next(0x01)?.first ?? 0 != 0
        }
        return false
    }
}

/// Reads values of ASN.1 one after the other (X.690, DER).
private struct DERReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { self.rest = bytes }

    /// The content of the next value, if it has this tag; else the reader stays where it is.
    mutating func next(_ tag: UInt8) -> ArraySlice<UInt8>? {
        var ahead = self.rest
        guard ahead.popFirst() == tag, let first = ahead.popFirst() else { return nil }
        var length = Int(first)
        if first & 0x80 != 0 {
            // Three bytes of length are more than a certificate has.
            guard (1...3).contains(Int(first & 0x7F)) else { return nil }
            length = 0
            for _ in 0..<(first & 0x7F) {
                guard let byte = ahead.popFirst() else { return nil }
                length = length << 8 | Int(byte)
            }
        }
        guard length <= ahead.count else { return nil }
        let content = ahead.prefix(length)
        self.rest = ahead.dropFirst(length)
        return content
    }
}

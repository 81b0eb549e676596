package import CulvertConfig
import CulvertCore
import CulvertSystem
import Foundation
import NIOSSL

/// Explains in words why the PEM file of a certificate, of its key, or of authorities cannot be used. The words never
/// repeat a file's content.
package enum CertificateFault {
    /// Bytes of a file that are looked at to find out what it is.
    private static let sizeLimit = 1 << 20

    /// - Parameter isAuthority: the file is that of authorities, and no key stands beside it in the configuration.
    /// - Returns: nil for a file that can be used.
    package static func certificate(_ file: String, isAuthority: Bool = false) -> String? {
        if let fault = FileFault.irregular(file) { return fault }
        if (try? NIOSSLCertificate.fromPEMFile(file)) != nil { return nil }
        return self.explain(
            file, wanted: "a PEM certificate (-----BEGIN CERTIFICATE-----)", der: "x509", pkcs12: "-nokeys"
        ) { text in
            if text.contains(bytesOf: "CERTIFICATE-----") {
                return "a PEM certificate in the file is damaged; write the file again"
            }
            if text.contains(bytesOf: Self.requestMark) { return Self.request("certificate") }
            guard text.contains(bytesOf: "PRIVATE KEY-----") else { return nil }
            return isAuthority
                ? "the file holds a private key and no certificate; give the file of the authorities' certificates"
                : "the file holds a private key and no certificate; perhaps \"certificate\" and \"key\" are swapped"
        }
    }

    private static let requestMark = "CERTIFICATE REQUEST-----"

    private static func request(_ wanted: String) -> String {
        "the file holds a certificate request (CSR), which an authority makes a certificate of; give the file of the "
            + wanted
    }

    /// - Returns: nil for a file that can be used.
    package static func key(_ file: String) -> String? {
        if let fault = FileFault.irregular(file) { return fault }
        if (try? NIOSSLPrivateKey(file: file, format: .pem)) != nil { return nil }
        return self.explain(
            file, wanted: "a PEM private key (-----BEGIN PRIVATE KEY-----)", der: "pkey", pkcs12: "-nocerts -nodes"
        ) { text in
            // RFC 5958, and the older form of RFC 1421 4.6.1.1.
            let marks = ["BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"]
            if marks.contains(where: { text.contains(bytesOf: $0) }) {
                return "the key is encrypted; write it without a passphrase: openssl pkey -in \(file) -out NEW"
            }
            if text.contains(bytesOf: "PRIVATE KEY-----") {
                return "the PEM private key in the file is damaged, or of a kind that TLS does not use"
            }
            if text.contains(bytesOf: "PUBLIC KEY-----") {
                return "the file holds a public key; the private key is expected"
            }
            if text.contains(bytesOf: Self.requestMark) { return Self.request("private key") }
            guard text.contains(bytesOf: "CERTIFICATE-----") else { return nil }
            return "the file holds a certificate and no private key; perhaps \"certificate\" and \"key\" are swapped"
        }
    }

    /// - Returns: nil for a file that can be used.
    package static func authorities(_ file: String) -> String? {
        do {
            try TLSContexts.checkAuthorities(file)
            return nil
        } catch {
            return FileFault.unfitForAuthorities(file) ?? self.certificate(file, isAuthority: true) ?? self.words(error)
        }
    }

    /// Explains the error of a context for a certificate and a key that can each be used by itself.
    package static func pair(_ pair: CertificatePair, _ error: any Error) -> String {
        guard case NIOSSLError.failedToLoadPrivateKey = error else { return self.words(error) }
        let chain = (try? NIOSSLCertificate.fromPEMFile(pair.certificate)) ?? []
        let key = try? NIOSSLPrivateKey(file: pair.key, format: .pem)
        let owner = chain.firstIndex { certificate in
            guard let key else { return false }
            let context = try? NIOSSLContext(
                configuration: .makeServerConfiguration(
                    certificateChain: [.certificate(certificate)], privateKey: .privateKey(key)))
            return context != nil
        }
        guard let owner else {
            return "the key does not belong to the certificate \(pair.certificate); put the key of that certificate "
                + "there"
        }
        return "the key belongs to certificate number \(owner + 1) of \(pair.certificate), and the chain is in the "
            + "wrong order: put that certificate first"
    }

    /// Says in words why TLS cannot use files that can each be read by itself. A framework's own description may name a
    /// path of the machine that it was built on.
    package static func words(_ error: any Error) -> String {
        if let error = error as? TLSContexts.Unusable { return error.description }
        return "TLS cannot use it" + TLSFault.detail(error) + FileDescriptors.note
    }

    /// The first fault of a listener's files, with the path of the file.
    ///
    /// - Parameter error: the reason that loading them failed; it is the answer where no file has a fault.
    static func first(in config: TLSConfig, clientCA: String?, _ error: any Error) -> String {
        for pair in config.certificates {
            if let fault = self.certificate(pair.certificate) { return "\(pair.certificate): \(fault)" }
            if let fault = self.key(pair.key) { return "\(pair.key): \(fault)" }
            var one = config
            one.certificates = [pair]
            do {
                _ = try TLSContexts.make(one)
            } catch {
                return "\(pair.key): \(self.pair(pair, error))"
            }
        }
        if let clientCA, let fault = self.authorities(clientCA) { return "\(clientCA): \(fault)" }
        return self.words(error)
    }

    /// - Parameters:
    ///   - der: the command of openssl that makes PEM of DER.
    ///   - pkcs12: the options with which openssl takes the wanted part out of a PKCS#12 file.
    ///   - recognize: gives the fault of a text. It gives nil for a text that is no PEM of a known kind.
    private static func explain(
        _ file: String, wanted: String, der: String, pkcs12: String, _ recognize: (String) -> String?
    ) -> String {
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: file, isDirectory: &isFolder), isFolder.boolValue {
            return "this is a folder; expected a file with \(wanted)"
        }
        guard let handle = FileHandle(forReadingAtPath: file),
            let data = try? handle.read(upToCount: self.sizeLimit) ?? Data()
        else { return "cannot be read" + FileFault.reason(file) + FileDescriptors.note }
        if data.isEmpty { return "the file is empty; expected \(wanted)" }
        let text = String(decoding: data, as: UTF8.self)
        if let fault = recognize(text) { return fault + FileDescriptors.note }
        if self.isPKCS12(data) {
            return "the file is PKCS#12 (.p12 or .pfx) and no PEM; make PEM of it: openssl pkcs12 -in \(file) "
                + "\(pkcs12) -out NEW"
        }
        // The tag of ASN.1 for a sequence.
        if data.first == 0x30 {
            return "the file is no PEM, perhaps DER; make PEM of it: openssl \(der) -inform der -in \(file) -out NEW"
        }
        return "the file is no PEM; expected \(wanted)"
    }

    /// Whether the bytes are a sequence that begins with the number 3 (RFC 7292 section 4). A key begins with the number
    /// 0 or 1, and a certificate with a sequence.
    private static func isPKCS12(_ data: Data) -> Bool {
        let start = Array(data.prefix(16))
        guard start.count == 16, start[0] == 0x30 else { return false }
        // A length beyond 127, and none, have the top bit set (X.690 section 8.1.3).
        let content = start[1] & 0x80 == 0 ? 2 : 2 + Int(start[1] & 0x7F)
        return content + 3 <= start.count && start[content..<content + 3].elementsEqual([0x02, 0x01, 0x03])
    }
}

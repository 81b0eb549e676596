/// `tls.certificates[]` and `client_certificate`.
package enum CertificateSection: String, ConfigSection {
    case certificate, key

    package static var definition: String? { "certificatePair" }

    package var entry: ConfigKey {
        switch self {
        case .certificate:
            ConfigKey(
                .text(.file), .required, "PEM file of the certificate, with its chain.", example: "certs/edge.pem")
        case .key:
            ConfigKey(.text(.file), .required, "PEM file of the private key.", example: "certs/edge.key")
        }
    }
}

extension CertificateSection {
    /// Reads the paths of a certificate and its key.
    struct Reader {
        let folder: ConfigFolder

        func read(_ node: ConfigNode) -> CertificatePair? {
            guard let keys = node.section(CertificateSection.self),
                let certificate = keys[.certificate].flatMap(self.folder.file),
                let key = keys[.key].flatMap(self.folder.file)
            else { return nil }
            return CertificatePair(certificate: certificate, key: key)
        }
    }
}

extension CertificatePair {
    var effective: EffectiveValue {
        .section(CertificateSection.self) { key in
            switch key {
            case .certificate: .text(self.certificate)
            case .key: .text(self.key)
            }
        }
    }
}

/// `listen[].tls` and `admin.tls`.
package enum TLSSection: String, ConfigSection {
    case certificates
    case minimumVersion = "minimum_version"
    case hsts

    package static var definition: String? { "tls" }

    package var entry: ConfigKey {
        switch self {
        case .certificates:
            ConfigKey(
                .list(.section(CertificateSection.self), atLeast: 1), .required,
                "Certificates, chosen by SNI. The first answers clients without SNI, and with a name that no "
                    + "certificate has.")
        case .minimumVersion:
            ConfigKey(
                .oneOf(TLSConfig.Version.self), .value("1.2"), "The oldest version of TLS that is spoken.")
        case .hsts:
            ConfigKey(
                .section(HSTSSection.self), .words("not sent"),
                "`Strict-Transport-Security` in each answer: browsers that have read it connect over TLS alone.",
                note: "[TLS](#tls) says more.")
        }
    }
}

extension TLSSection {
    /// Reads `tls` of a listener and of the admin API.
    struct Reader {
        let folder: ConfigFolder

        func read(_ node: ConfigNode) -> TLSConfig? {
            guard let keys = node.section(TLSSection.self) else { return nil }
            let certificates = keys[.certificates]?.list()?.compactMap(
                CertificateSection.Reader(folder: self.folder).read)
            if certificates?.isEmpty == true { keys[.certificates]?.fail("expected at least one certificate") }
            let version = keys.choice(.minimumVersion, TLSConfig.Version.self)
            let hsts = keys[.hsts].flatMap(HSTSSection.Reader().read)
            return certificates.map { TLSConfig(certificates: $0, minimumVersion: version, hsts: hsts) }
        }
    }
}

extension TLSConfig {
    var effective: EffectiveValue {
        .section(TLSSection.self) { key in
            switch key {
            case .certificates: .list(self.certificates.map(\.effective))
            case .minimumVersion: .text(self.minimumVersion.rawValue)
            case .hsts: self.hsts?.effective
            }
        }
    }
}

/// `admin`.
package enum AdminSection: String, ConfigSection {
    case address, tls
    case clientCA = "client_ca"
    case hosts
    case tokenFile = "token_file"

    package var entry: ConfigKey {
        switch self {
        case .address:
            ConfigKey(
                .text(.adminAddress), .value("127.0.0.1:9901"),
                "`host:port`, `unix:PATH` for a Unix socket of mode 0600, or `none` for no admin API.")
        case .tls:
            ConfigKey(.section(TLSSection.self), .words("a plain listener"), "TLS, as of a listener for clients.")
        case .clientCA:
            ConfigKey(
                .text(.file), .words("no certificate is asked for"),
                "PEM file of the authorities one of which must vouch for the client's certificate. It needs "
                    + "`tls`.")
        case .hosts:
            ConfigKey(
                .list(.text(.hostName)), .value("[]"),
                "Names in `Host`, without a port, that are taken beside the listener's address and the loopback "
                    + "ones.")
        case .tokenFile:
            ConfigKey(
                .text(.file), .value("culvert.admin-token"),
                "The file of the admin token, which is made, with mode 0600, when it is not there.",
                note: "If a file that is there holds a token, and its mode is looser than 0600, the start tightens the "
                    + "mode, with a warning. If it cannot "
                    + "get that mode and users outside its group may read it, nothing starts. Nothing starts "
                    + "either when the file, or a link to it, belongs to another user than root or the user that "
                    + "Culvert runs as, or when [another user can write in its "
                    + "folder](security.md#another-user-of-the-machine). `CULVERT_ADMIN_TOKEN` in the environment "
                    + "takes its place.")
        }
    }

    package static var rules: SchemaJSON { ["dependentRequired": ["client_ca": ["tls"]]] }
}

extension AdminSection {
    /// Reads `admin`.
    struct Reader {
        let folder: ConfigFolder

        /// - Returns: nil when the admin API is switched off.
        func read(_ node: ConfigNode?) -> AdminConfig? {
            node?.keepPlace()
            let form = "admin: { address: none } for no admin API"
            let keys = node?.section(AdminSection.self, form: form) ?? ConfigMembers()
            var config = AdminConfig(host: "", port: 0, tokenFile: self.folder.resolve(keys.defaultText(.tokenFile)))
            let text = keys.string(.address)
            if text == "none" { return nil }
            if let entry = keys[.address], Switch(text) != nil {
                entry.fail("expected host:port, unix:PATH, or none for no admin API")
                return config
            }
            keys[.address]?.keepPlace()
            if let entry = keys[.address], text.hasPrefix("unix:") {
                config.socket = self.folder.socket(String(text.dropFirst(5)), entry)
            } else {
                do throws(ListenHost.Fault) {
                    (config.host, config.port) = try ListenHost.address(text)
                } catch {
                    keys[.address]?.fail(error.message)
                }
            }
            config.tls = keys[.tls].flatMap(TLSSection.Reader(folder: self.folder).read)
            config.clientCA = keys[.clientCA].flatMap(self.folder.file)
            if config.clientCA != nil, keys[.tls] == nil { keys[.clientCA]?.fail("of no use without \"tls\"") }
            config.hosts = keys[.hosts]?.list()?.compactMap { $0.hostName() } ?? []
            config.tokenFile = keys[.tokenFile].flatMap(self.folder.file) ?? config.tokenFile
            return config
        }
    }
}

extension AdminConfig {
    /// The address of the admin API if the configuration has no `admin.address`.
    package static var defaultAddress: String { AdminSection.address.entry.defaultText ?? "" }
    /// The file of the admin token if the configuration has no `admin.token_file`.
    package static var defaultTokenFile: String { AdminSection.tokenFile.entry.defaultText ?? "" }

    var effective: EffectiveValue {
        .section(AdminSection.self) { key in
            switch key {
            case .address: .text(self.address)
            case .tls: self.tls?.effective
            case .clientCA: self.clientCA.map(EffectiveValue.text)
            case .hosts: .texts(self.hosts)
            case .tokenFile: .text(self.tokenFile)
            }
        }
    }
}

extension ConfigReader {
    private static let deeperKeys = [
        "certificates": "tls.certificates", "minimum_version": "tls.minimum_version", "hsts": "tls.hsts",
    ]

    func admin(_ node: ConfigNode?) -> AdminConfig? {
        var config = AdminConfig(host: "127.0.0.1", port: 9901, tokenFile: self.resolve("culvert.admin-token"))
        node?.keepPlace()
        guard let keys = node?.section(["address", "tls", "client_ca", "hosts", "token_file"], deeper: Self.deeperKeys)
        else { return config }
        if let entry = keys["address"], let text = entry.string() {
            if text == "none" { return nil }
            if Switch(text) != nil {
                entry.fail("expected host:port, unix:PATH, or none for no admin API")
                return config
            }
            entry.keepPlace()
            if text.hasPrefix("unix:") {
                config.socket = self.socketPath(String(text.dropFirst(5)), entry)
            } else if let address = self.address(entry) {
                config.host = address.host
                config.port = address.port
            }
        }
        config.tls = keys["tls"].flatMap(self.tls)
        config.clientCA = keys["client_ca"].flatMap(self.file)
        if config.clientCA != nil, keys["tls"] == nil { keys["client_ca"]?.fail("of no use without \"tls\"") }
        config.hosts = keys["hosts"]?.list()?.compactMap(self.host) ?? []
        config.tokenFile = keys["token_file"].flatMap(self.file) ?? config.tokenFile
        return config
    }

    /// - Parameter isNeeded: there is an admin API, which would have nowhere to write.
    func state(_ node: ConfigNode?, isNeeded: Bool) -> String? {
        node?.keepPlace()
        let text = node?.string() ?? "culvert.db"
        if text != "none", Switch(text) != nil {
            node?.fail("expected the path of a file, or none; a file of this name is written ./\(text)")
            return nil
        }
        if text == "none" {
            if isNeeded { node?.fail("the admin API needs a database: give one, or set admin.address to none") }
            return nil
        }
        if text.isEmpty { node?.fail("expected the path of a file, or none") }
        return self.resolve(text)
    }
}

extension ConfigReader {
    func admin(_ node: ConfigNode?) -> AdminConfig? {
        var config = AdminConfig(host: "127.0.0.1", port: 9901, tokenFile: self.resolve("culvert.admin-token"))
        node?.keepPlace()
        guard let keys = node?.section(["address", "tls", "client_ca", "hosts", "token_file"]) else { return config }
        if let entry = keys["address"], let text = entry.string() {
            if text == "none" { return nil }
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
        if text == "none" {
            if isNeeded { node?.fail("the admin API needs a database: give one, or set admin.address to none") }
            return nil
        }
        if text.isEmpty { node?.fail("expected the path of a file, or none") }
        return self.resolve(text)
    }
}

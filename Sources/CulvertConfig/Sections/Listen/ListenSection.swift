/// `listen[]`.
package enum ListenSection: String, ConfigSection {
    case address, tls
    case proxyProtocol = "proxy_protocol"

    package var entry: ConfigKey {
        switch self {
        case .address:
            ConfigKey(
                .text(.address), .required, "`host:port`, where the host is an IP address or a host name.",
                note: "IPv6 addresses stand in brackets. `[::]:8443` takes all addresses, IPv4 too, and "
                    + "`0.0.0.0:8443` those of IPv4. With port 0 the system chooses a port, and `listening` in the "
                    + "log has it.",
                example: "0.0.0.0:8443")
        case .tls:
            ConfigKey(
                .section(TLSSection.self), .words("a plain listener"),
                "TLS of the listener. A plain listener is for tests, or for a place behind a proxy that ends TLS.")
        case .proxyProtocol:
            ConfigKey(
                .boolean, .value("false"),
                "Whether each connection begins with a PROXY header. It needs `trusted_proxies`.",
                note: "[PROXY protocol](#proxy-protocol) says more.")
        }
    }
}

extension ListenSection {
    /// Reads `listen`, and finds listeners that would take each other's connections.
    struct Reader {
        let folder: ConfigFolder
        /// Nil without an admin API.
        let admin: AdminConfig?
        /// The file has trusted proxies, without which no PROXY header is taken.
        let trustsProxies: Bool

        func read(_ node: ConfigNode) -> [ListenConfig]? {
            guard let entries = node.list() else { return nil }
            if entries.isEmpty { node.fail("expected at least one listener") }
            let adminPlace = self.admin.flatMap {
                $0.socket == nil ? ListenPlace(host: $0.host, port: $0.port) : nil
            }
            var seen: [(address: String, place: ListenPlace, keyPath: String)] = []
            return entries.compactMap { entry in
                guard let keys = entry.section(ListenSection.self), let listen = self.listener(keys) else { return nil }
                let place = ListenPlace(host: listen.host, port: listen.port)
                keys[.address]?.keepPlace()
                let places = ConfigPlaces(file: entry.errors.file, entry.errors.places)
                if let other = seen.first(where: { $0.place.overlaps(place) }) {
                    keys[.address]?.fail(
                        "the listener \(other.address) takes connections there (\(places.name(other.keyPath))); "
                            + "choose another port")
                }
                if let admin, adminPlace?.overlaps(place) ?? false {
                    keys[.address]?.fail(
                        "the admin API listens at \(admin.address) (\(places.name("admin.address"))); choose another "
                            + "port for one of them")
                }
                seen.append((listen.address, place, entry.path + ".address"))
                return listen
            }
        }

        private func listener(_ keys: ConfigMembers<ListenSection>) -> ListenConfig? {
            guard let address = keys[.address].flatMap(self.address) else { return nil }
            let proxyProtocol = keys.bool(.proxyProtocol)
            if proxyProtocol, !self.trustsProxies {
                keys[.proxyProtocol]?.fail("of no use without \"trusted_proxies\": nobody could connect")
            }
            return ListenConfig(
                host: address.host, port: address.port,
                tls: keys[.tls].flatMap(TLSSection.Reader(folder: self.folder).read), proxyProtocol: proxyProtocol)
        }

        /// `host:port`, IPv6 in brackets.
        private func address(_ node: ConfigNode) -> (host: String, port: Int)? {
            guard let text = node.string() else { return nil }
            do throws(ListenHost.Fault) {
                return try ListenHost.address(text)
            } catch {
                node.fail(error.message)
                return nil
            }
        }
    }
}

extension ListenConfig {
    var effective: EffectiveValue {
        .section(ListenSection.self) { key in
            switch key {
            case .address: .text(self.address)
            case .tls: self.tls?.effective
            case .proxyProtocol: .flag(self.proxyProtocol)
            }
        }
    }
}

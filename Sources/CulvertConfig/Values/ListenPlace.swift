import CulvertCore

/// The addresses on which a listener takes connections, as far as its text tells them.
///
/// The kernel lets two listeners of one process share a port, and gives each a part of the connections: clients would
/// reach the admin API, and operators the edge.
package struct ListenPlace {
    private let port: Int
    private let hosts: Set<String>
    private let takesAllOfIPv4: Bool
    private let takesAllOfIPv6: Bool

    package init(host: String, port: Int) {
        self.port = port
        // A socket of `::` takes IPv4 as well, unless the system has it otherwise.
        self.takesAllOfIPv6 = IPAddress(host)?.description == "::"
        self.takesAllOfIPv4 = self.takesAllOfIPv6 || IPAddress(host)?.description == "0.0.0.0"
        let name = host.asciiLowercased
        self.hosts = name.equals("localhost") ? ["127.0.0.1", "::1"] : [IPAddress(host)?.description ?? name]
    }

    /// Whether a connection may come to both. Port 0 is another port for each.
    package func overlaps(_ other: ListenPlace) -> Bool {
        self.port == other.port && self.port != 0
            && (!self.hosts.isDisjoint(with: other.hosts) || self.covers(other) || other.covers(self))
    }

    private func covers(_ other: ListenPlace) -> Bool {
        other.hosts.contains { host in
            let isIPv6 = host.utf8.contains(UInt8(ascii: ":"))
            // A name may stand for an address of either family.
            let isName = !host.isIPAddress
            return (self.takesAllOfIPv4 && (!isIPv6 || isName)) || (self.takesAllOfIPv6 && (isIPv6 || isName))
        }
    }
}

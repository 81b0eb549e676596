import CulvertCore

/// The host in front of the port of `listen[].address` and `admin.address`.
enum ListenHost {
    /// Why a text is no such host. The message says what to write instead.
    struct Fault: Error {
        var message: String
    }

    /// Splits `host:port`, an IPv6 host in brackets.
    static func address(_ text: String) throws(Fault) -> (host: String, port: Int) {
        if let scheme = text.firstRange(of: "://") {
            let rest = String(text[scheme.upperBound...].prefix { $0 != "/" })
            let advice = (try? self.address(rest)).map { _ in "; write \(rest)" } ?? ", such as 0.0.0.0:8443"
            throw Fault(message: "an address has no scheme: expected an address and port" + advice)
        }
        if let colon = text.lastIndex(of: ":") {
            let digits = text[text.index(after: colon)...]
            let isNumber = digits.utf8.allSatisfy(self.isDigit) && (5...100).contains(digits.utf8.count)
            if isNumber, Int(digits) ?? .max > 65535 {
                throw Fault(message: "the port \(digits) is too big: expected a port of at most 65535")
            }
        }
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65535).contains(port)
        else { throw Fault(message: "expected an address and port, such as 0.0.0.0:8443 or [::1]:8443") }
        return (try self.parse(String(text[..<colon]), port: port), port)
    }

    /// Checks a host as it stands in the file, an IPv6 address in brackets.
    ///
    /// - Parameter port: that stands behind it, for examples.
    /// - Returns: the host without brackets.
    static func parse(_ text: String, port: Int) throws(Fault) -> String {
        guard !text.isEmpty else {
            throw Fault(message: "expected an address in front of the port, such as 0.0.0.0:8443")
        }
        if text == "*" {
            throw Fault(
                message: "\"*\" is no address; write [::]:\(port) for all addresses, or 0.0.0.0:\(port) for those of "
                    + "IPv4")
        }
        if text.utf8.first == UInt8(ascii: "[") {
            guard text.utf8.last == UInt8(ascii: "]"), text.utf8.count > 2 else { throw self.noIPv6(port) }
            let host = String(decoding: text.utf8.dropFirst().dropLast(), as: UTF8.self)
            // The interface of a link-local address stands behind a percent sign (RFC 4007 section 11).
            let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard let address = parts.first, address.contains(byte: UInt8(ascii: ":")), address.isIPAddress,
                parts.count == 1 || !parts[1].isEmpty
            else { throw self.noIPv6(port) }
            return host
        }
        guard !text.contains(byte: UInt8(ascii: ":")) else {
            if text.isIPAddress {
                throw Fault(message: "an IPv6 address stands in brackets; write [\(text)]:\(port)")
            }
            throw self.noIPv6(port)
        }
        guard text.isIPAddress || self.isName(text) else {
            throw Fault(
                message: "the host is neither an IP address nor a host name; write one such as 0.0.0.0:\(port), "
                    + "[::]:\(port) or localhost:\(port)")
        }
        return text
    }

    private static func noIPv6(_ port: Int) -> Fault {
        Fault(message: "expected an IPv6 address in brackets in front of the port, such as [::1]:\(port)")
    }

    /// A name of RFC 1123 section 2.1; names of containers may have an underscore. The last label has a letter: a name
    /// such as 10.1 would be an IPv4 address to the system's resolver.
    private static func isName(_ text: String) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        let isMadeOfLabels = labels.allSatisfy { label in
            (1...63).contains(label.utf8.count) && label.utf8.first != UInt8(ascii: "-")
                && label.utf8.last != UInt8(ascii: "-")
                && label.utf8.allSatisfy { self.isLetter($0) || self.isDigit($0) || "-_".utf8.contains($0) }
        }
        guard isMadeOfLabels, let last = labels.last else { return false }
        return last.utf8.contains { self.isLetter($0) }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }
}

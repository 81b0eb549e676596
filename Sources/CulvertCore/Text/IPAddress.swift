import Glibc

/// An IPv4 or IPv6 address; an IPv4 one is the same as its mapped form (RFC 4291 2.5.5.2).
package struct IPAddress: Hashable, Sendable {
    let bytes: [UInt8]

    init(bytes: [UInt8]) { self.bytes = bytes }

    /// Nil for anything but an address alone: no port, no brackets, no zone.
    package init?(_ text: some StringProtocol) {
        let text = String(text)
        // inet_pton(3) would stop at it.
        guard !text.contains(byte: 0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 {
            self.bytes = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF] + bytes[..<4]
        } else if inet_pton(AF_INET6, text, &bytes) == 1 {
            self.bytes = bytes
        } else {
            return nil
        }
    }
}

extension IPAddress: CustomStringConvertible {
    /// Reads 4 or 16 bytes in network order; nil for any other number of bytes.
    package init?(networkOrder bytes: some Collection<UInt8>) {
        switch bytes.count {
        case 4: self.bytes = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF] + bytes
        case 16: self.bytes = Array(bytes)
        default: return nil
        }
    }

    /// IPv4, or mapped.
    package var isIPv4: Bool {
        self.bytes[..<10].allSatisfy { $0 == 0 } && self.bytes[10] == 0xFF && self.bytes[11] == 0xFF
    }

    /// An IPv4 address in its four parts, however it was written.
    package var description: String { self.isIPv4 ? self.text(AF_INET) : self.textAsIPv6 }

    /// `text` in the one form that each address has in logs, fields, limits and filters: IPv4 in its four parts also
    /// where it came mapped, IPv6 in the form of RFC 5952. A text that is not an address stays as it is.
    package static func canonical(_ text: String) -> String {
        // Without a colon there is one way to write an address that inet_pton(3) takes.
        guard text.contains(byte: UInt8(ascii: ":")) else { return text }
        return IPAddress(text)?.description ?? text
    }

    /// An IPv4 address in its mapped form.
    var textAsIPv6: String { self.text(AF_INET6) }

    private func text(_ family: Int32) -> String {
        // INET6_ADDRSTRLEN of inet_ntop(3).
        var text = [CChar](repeating: 0, count: 46)
        let bytes = family == AF_INET ? Array(self.bytes[12...]) : self.bytes
        guard inet_ntop(family, bytes, &text, socklen_t(text.count)) != nil else { return "" }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

import Glibc

/// An IPv4 or IPv6 address; an IPv4 one is the same as its mapped form (RFC 4291 2.5.5.2).
package struct IPAddress: Hashable, Sendable {
    /// What stands in front of an IPv4 address in its mapped form.
    private static let mapped: UInt128 = 0xFFFF << 32

    /// The 16 bytes in network order, read as a number.
    let number: UInt128

    init(number: UInt128) { self.number = number }

    /// Nil for anything but an address alone: no port, no brackets, no zone.
    package init?(_ text: some StringProtocol) {
        let text = String(text)
        // inet_pton(3) would stop at it.
        guard !text.contains(byte: 0) else { return nil }
        var (short, long) = (in_addr(), in6_addr())
        if inet_pton(AF_INET, text, &short) == 1 {
            self.number = Self.mapped | UInt128(UInt32(bigEndian: short.s_addr))
        } else if inet_pton(AF_INET6, text, &long) == 1 {
            self.number = withUnsafeBytes(of: long) { UInt128(bigEndian: $0.loadUnaligned(as: UInt128.self)) }
        } else {
            return nil
        }
    }
}

extension IPAddress: CustomStringConvertible {
    /// Reads 4 or 16 bytes in network order; nil for any other number of bytes.
    package init?(networkOrder bytes: some Collection<UInt8>) {
        let number = bytes.prefix(16).reduce(into: UInt128(0)) { $0 = $0 << 8 | UInt128($1) }
        switch bytes.count {
        case 4: self.number = Self.mapped | number
        case 16: self.number = number
        default: return nil
        }
    }

    /// In network order: 16, or 4 of an IPv4 address.
    ///
    /// - Parameter isIPv4: false for the 16 of an IPv4 address in its mapped form.
    func bytes(asIPv4 isIPv4: Bool) -> [UInt8] { self.withBytes(asIPv4: isIPv4) { Array($0) } }

    private func withBytes<Result>(asIPv4 isIPv4: Bool, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        withUnsafeBytes(of: self.number.bigEndian) { body(UnsafeRawBufferPointer(rebasing: $0[(isIPv4 ? 12 : 0)...])) }
    }

    /// IPv4, or mapped.
    package var isIPv4: Bool { self.number >> 32 == 0xFFFF }

    /// An IPv4 address in its four parts, however it was written.
    package var description: String { self.text(asIPv4: self.isIPv4) }

    /// `text` in the one form that each address has in logs, fields, limits and filters: IPv4 in its four parts also
    /// where it came mapped, IPv6 in the form of RFC 5952. A text that is not an address stays as it is.
    package static func canonical(_ text: String) -> String {
        // Without a colon there is one way to write an address that inet_pton(3) takes.
        guard text.contains(byte: UInt8(ascii: ":")) else { return text }
        return IPAddress(text)?.description ?? text
    }

    /// An IPv4 address in its mapped form.
    var textAsIPv6: String { self.text(asIPv4: false) }

    private func text(asIPv4 isIPv4: Bool) -> String {
        // INET6_ADDRSTRLEN of inet_ntop(3).
        let most = 46
        return self.withBytes(asIPv4: isIPv4) { bytes in
            String(unsafeUninitializedCapacity: most) { text in
                text.withMemoryRebound(to: CChar.self) { text in
                    let family = isIPv4 ? AF_INET : AF_INET6
                    return inet_ntop(family, bytes.baseAddress, text.baseAddress, socklen_t(most)).map { strlen($0) } ?? 0
                }
            }
        }
    }
}

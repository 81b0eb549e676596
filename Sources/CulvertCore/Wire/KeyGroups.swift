/// The groups in which Culvert agrees on the keys of TLS (RFC 8446 4.2.7), the preferred group first.
package enum KeyGroups {
    /// X25519 with ML-KEM-768, X25519 and secp256r1. A handshake costs a fraction of a millisecond with each.
    package static let quick: [UInt16] = [0x11EC, 0x001D, 0x0017]

    /// With secp384r1, which costs 1 to 2 ms more: for peers that offer nothing else. secp521r1 costs more still, and is
    /// not spoken.
    package static let all: [UInt16] = Self.quick + [0x0018]
}

/// The suites of TLS 1.2 that Culvert speaks, in its own order: ephemeral keys, and authenticated encryption
/// (RFC 9325 4.2). The suites of TLS 1.3 are all of that kind.
package enum CipherOrder {
    /// Suites that differ in the certificate's kind of key alone.
    package struct Family: Sendable {
        fileprivate var ecdsa: UInt16
        fileprivate var rsa: UInt16
        /// The names by which BoringSSL knows them.
        package var names: String
    }

    package static let families = [
        Family(
            ecdsa: 0xC02B, rsa: 0xC02F, names: "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"),
        Family(
            ecdsa: 0xC02C, rsa: 0xC030, names: "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"),
        Family(
            ecdsa: 0xCCA9, rsa: 0xCCA8, names: "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"),
    ]

    /// All of them, as BoringSSL takes a list.
    package static let names = Self.families.map(\.names).joined(separator: ":")

    /// The numbers of all of them.
    static let all: [UInt16] = Self.families.flatMap { [$0.ecdsa, $0.rsa] }

    /// The family that Culvert prefers among suites that a client offers.
    ///
    /// - Returns: an index of ``families``. Nil where none is offered, and for a client that offers one family for keys
    ///   of one kind and another family for the other kind: which key is used is known later.
    package static func choice(_ offered: Set<UInt16>) -> Int? {
        let ecdsa = self.families.firstIndex { offered.contains($0.ecdsa) }
        let rsa = self.families.firstIndex { offered.contains($0.rsa) }
        guard let ecdsa, let rsa else { return ecdsa ?? rsa }
        return ecdsa == rsa ? ecdsa : nil
    }
}

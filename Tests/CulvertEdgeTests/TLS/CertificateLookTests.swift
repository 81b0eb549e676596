import Testing

@testable import CulvertEdge

@Suite("Issuer and subject of a certificate")
struct CertificateLookTests {
    /// A certificate's outline: version 3, a serial number, an algorithm, issuer, validity, subject, and no more.
    private static func certificate(
        version: [UInt8] = [0xA0, 0x03, 0x02, 0x01, 0x02], behind: [UInt8] = [], padding: Int = 0
    ) -> [UInt8] {
        let fields: [UInt8] =
            version + [0x02, 0x01, 0x07] + [0x30, 0x00] + [0x30, 0x02, 0x31, 0x11] + [0x30, 0x00]
            + [0x30, 0x02, 0x31, 0x22] + behind + [UInt8](repeating: 0, count: padding)
        return self.sequence(self.sequence(fields))
    }

    private static func sequence(_ content: [UInt8]) -> [UInt8] {
        let count = content.count
        return count < 128
            ? [0x30, UInt8(count)] + content : [0x30, 0x82, UInt8(count >> 8), UInt8(count & 0xFF)] + content
    }

    @Test("They are found with and without a version, and behind lengths of either form")
    func found() {
        for der in [Self.certificate(), Self.certificate(version: []), Self.certificate(padding: 500)] {
            let parties = CertificateParties(der: der)
            #expect(parties?.issuer == [0x31, 0x11] && parties?.subject == [0x31, 0x22])
        }
    }

    /// A key, perhaps an identifier, and the extensions: one of another kind, and basic constraints with these members.
    private static func behind(_ members: [UInt8], identifier: [UInt8] = [], isCritical: Bool = true) -> [UInt8] {
        let other = self.sequence([0x06, 0x03, 0x55, 0x1D, 0x0E, 0x04, 0x02, 0x04, 0x00])
        let value = self.sequence(members)
        let constraints = self.sequence(
            [0x06, 0x03, 0x55, 0x1D, 0x13] + (isCritical ? [0x01, 0x01, 0xFF] : [])
                + [0x04, UInt8(value.count)] + value)
        let list = self.sequence(other + constraints)
        return [0x30, 0x00] + identifier + [0xA3, UInt8(list.count)] + list
    }

    @Test("The right to issue stands in the basic constraints alone")
    func authority() {
        let may: [UInt8] = [0x01, 0x01, 0xFF]
        for (behind, isAuthority) in [
            (Self.behind(may), true), (Self.behind(may + [0x02, 0x01, 0x00], isCritical: false), true),
            (Self.behind(may, identifier: [0x81, 0x02, 0x00, 0x01]), true), (Self.behind([]), false),
            (Self.behind([0x01, 0x01, 0x00]), false), ([0x30, 0x00], false), ([], false),
        ] {
            #expect(CertificateParties(der: Self.certificate(behind: behind))?.isAuthority == isAuthority)
        }
    }

    @Test("Bytes that end early, or are none, have neither")
    func cut() {
        let der = Self.certificate()
        for count in 0..<der.count { #expect(CertificateParties(der: Array(der.prefix(count)))?.issuer == nil) }
        #expect(CertificateParties(der: [0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF])?.issuer == nil)
    }
}

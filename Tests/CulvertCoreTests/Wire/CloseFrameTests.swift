import CulvertCore
import NIOCore
import Testing

@Suite("Close frames")
struct CloseFrameTests {
    @Test("Just the codes of RFC 6455 7.4 and the registry may be sent")
    func codes() {
        let allowed = (UInt16.min ... .max).filter { CloseCode(rawValue: $0).mayAppearOnWire }
        #expect(allowed == Array(1000...1003) + Array(1007...1014) + Array(3000...4999))
    }

    @Test(
        "A payload is read",
        arguments: [
            ([], CloseFrame(code: nil)),
            ([0x03, 0xE8], CloseFrame(code: .normal)),
            ([0x03, 0xE9, 0x62, 0x79, 0x65], CloseFrame(code: .goingAway, reason: "bye")),
            ([0x0F, 0xA0, 0xC3, 0xA9], CloseFrame(code: CloseCode(rawValue: 4000), reason: "é")),
            ([0x03, 0xE8, 0x00], CloseFrame(code: .normal, reason: "\0")),
        ] as [([UInt8], CloseFrame)])
    func parses(payload: [UInt8], frame: CloseFrame) throws {
        #expect(try CloseFrame.parse(payload: payload) == frame)
        #expect(try CloseFrame.parse(payload: ByteBuffer(bytes: payload).readableBytesView) == frame)
        #expect(frame.payload() == payload)
    }

    @Test(
        "A malformed payload is refused for the right reason",
        arguments: [
            ([0x03], .code), ([0x03, 0xED], .code), ([0x00, 0x00], .code), ([0xFF, 0xFF, 0x61], .code),
            ([0x03, 0xE8, 0xFF], .reason), ([0x03, 0xE8, 0xE2, 0x82], .reason), ([0x03, 0xED, 0xFF], .code),
        ] as [([UInt8], CloseFrame.Malformed)])
    func refuses(payload: [UInt8], why: CloseFrame.Malformed) {
        #expect(throws: why) { try CloseFrame.parse(payload: payload) }
    }

    @Test(
        "A long reason is cut between characters, never over 125 bytes",
        arguments: [
            "a", "é", "€", "𝄞", "e\u{301}",
        ])
    func cuts(unit: String) throws {
        for lead in 0..<4 {
            let reason = String(repeating: "-", count: lead) + String(repeating: unit, count: 130)
            let payload = CloseFrame(code: .normal, reason: reason).payload()
            #expect(payload.count <= 125)
            #expect(payload.count > 125 - 4)
            let parsed = try CloseFrame.parse(payload: payload)
            #expect(reason.unicodeScalars.starts(with: parsed.reason.unicodeScalars))
        }
    }

    @Test("A reason of 123 bytes is kept whole")
    func fits() {
        let reason = String(repeating: "x", count: 123)
        #expect(CloseFrame(code: .normal, reason: reason).payload().count == 125)
    }

    @Test(
        "A code that is never sent gives an empty body",
        arguments: [
            nil, .noStatus, .abnormal, CloseCode(rawValue: 1015), CloseCode(rawValue: 0),
        ] as [CloseCode?])
    func unsendable(code: CloseCode?) {
        #expect(CloseFrame(code: code, reason: "not sent").payload().isEmpty)
        var out = ByteBuffer()
        FrameWriter.close(CloseFrame(code: code, reason: "not sent"), mask: nil, into: &out)
        #expect(Array(out.readableBytesView) == [0x88, 0])
    }
}

import CulvertCore
import NIOCore
import Testing

@Suite("Wire: corners of the grammar")
struct WireCornerTests {
    private func scan(_ bytes: [UInt8], rsv: UInt8) -> CloseCode? {
        ScanRecord.of(
            [bytes], FrameScanner(sender: .server, messageLimit: 100, allowedRSV: rsv, validateText: true)
        ).violation
    }

    @Test("RSV2 and RSV3, when an extension uses them, may be on any data frame", arguments: [0x20, 0x10] as [UInt8])
    func reservedOnContinuation(bit: UInt8) {
        let bytes = WireBytes.frame(0x02, [1]) + WireBytes.frame(0x80 | bit, [2])
        #expect(self.scan(bytes, rsv: 7) == nil)
    }

    @Test("Text that an unknown extension changed is not validated", arguments: [0x20, 0x10] as [UInt8])
    func changedText(bit: UInt8) {
        let bytes = WireBytes.frame(0x81 | bit, [0xFF])
        #expect(self.scan(bytes, rsv: 7) == nil)
    }

    @Test("A quoted quotation mark does not end the string")
    func escapes() {
        #expect(Handshake.listTokens([#"a;x="\", b", c"#]) == [#"a;x="\", b""#, "c"])
    }

    @Test(
        "Bytes that are not ASCII hide no comma and are not trimmed",
        arguments: [
            ("a,\u{301}b", ["a", "\u{301}b"]), ("\u{A0}a", ["\u{A0}a"]),
        ] as [(String, [String])])
    func notASCII(value: String, members: [String]) {
        // By scalar: "a" with a combining mark and its composed form are equal strings.
        #expect(Handshake.listTokens([value]).map { Array($0.utf8) } == members.map { Array($0.utf8) })
    }

    @Test("Nothing is kept of what comes after a violation")
    func keepsNothing() {
        var assembler = MessageAssembler(sender: .server, messageLimit: 10)
        assembler.append(ByteBuffer(bytes: [0x83]))
        #expect(assembler.next() != .needMore)
        for _ in 0..<100 { assembler.append(ByteBuffer(repeating: 0, count: 1000)) }
        let held = Mirror(reflecting: assembler).children.reduce(0) {
            $0 + (($1.value as? ByteBuffer)?.storageCapacity ?? 0)
        }
        #expect(held == 0)
    }
}

@Suite("Base64url")
struct Base64URLTests {
    @Test("What RFC 4648 section 10 says, and the two letters of its own")
    func vectors() {
        for (text, code) in [
            ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            #expect(Base64URL.encode(Array(text.utf8)) == code)
            #expect(Base64URL.decode(code.utf8) == Array(text.utf8))
        }
        #expect(Base64URL.encode([0xFB, 0xFF]) == "-_8" && Base64URL.decode("-_8".utf8) == [0xFB, 0xFF])
    }

    @Test("All bytes come back, whatever their number", arguments: 0..<70)
    func roundTrip(count: Int) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ count) }
        #expect(Base64URL.decode(Base64URL.encode(bytes).utf8) == bytes)
    }

    @Test(arguments: ["Z", "Zg=", "Zg==", "Zh", "Zm9", "+/8", "Zm 8", "Zm8\n", "Zmé"])
    func anotherTextIsNotRead(_ text: String) {
        #expect(Base64URL.decode(text.utf8) == nil)
    }
}

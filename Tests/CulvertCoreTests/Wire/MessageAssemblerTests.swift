import CulvertCore
import NIOCore
import Testing

@Suite("Message assembler")
struct MessageAssemblerTests {
    /// Everything the assembler says of the pieces, taken as the proxy takes it: append, then drain.
    private static func events(
        _ pieces: [[UInt8]], sender: Endpoint = .server, limit: Int = 1 << 21
    ) -> [MessageAssembler.Event] {
        var assembler = MessageAssembler(sender: sender, messageLimit: limit)
        var events: [MessageAssembler.Event] = []
        for piece in pieces {
            assembler.append(ByteBuffer(bytes: piece))
            while true {
                let event = assembler.next()
                if event == .needMore { break }
                events.append(event)
                if case .violation = event { return events }
            }
        }
        return events
    }

    private static func message(_ opcode: Opcode, _ text: String) -> MessageAssembler.Event {
        .message(opcode, ByteBuffer(string: text))
    }

    private static func code(_ event: MessageAssembler.Event?) -> CloseCode? {
        guard case .violation(let code, _)? = event else { return nil }
        return code
    }

    private static func conversation(_ mask: UInt32?) -> [UInt8] {
        WireBytes.frame(0x81, Array("größe".utf8), mask: mask)
            + WireBytes.frame(0x02, Array("one".utf8), mask: mask)
            + WireBytes.frame(0x89, Array("ping".utf8), mask: mask)
            + WireBytes.frame(0x00, [], mask: mask)
            + WireBytes.frame(0x80, Array("two".utf8), mask: mask.map { ~$0 })
            + WireBytes.frame(0x8A, [], mask: mask)
            + WireBytes.frame(0x01, Array("€".utf8.prefix(1)), mask: mask)
            + WireBytes.frame(0x80, Array("€".utf8.dropFirst()), mask: mask)
            + WireBytes.frame(0x82, [], mask: mask)
            + WireBytes.close(1000, Array("done".utf8), mask: mask)
    }

    private static let expected: [MessageAssembler.Event] = [
        message(.text, "größe"),
        .control(.ping, ByteBuffer(string: "ping")),
        message(.binary, "onetwo"),
        .control(.pong, ByteBuffer()),
        message(.text, "€"),
        message(.binary, ""),
        .control(.close, ByteBuffer(bytes: [0x03, 0xE8] + Array("done".utf8))),
    ]

    @Test("Gives whole, unmasked messages and control frames in order, cut anywhere", arguments: [nil, WireBytes.mask])
    func everySplit(mask: UInt32?) {
        let bytes = Self.conversation(mask)
        let sender = mask == nil ? Endpoint.server : .client
        for cut in 0...bytes.count {
            let events = Self.events([Array(bytes[..<cut]), Array(bytes[cut...])], sender: sender)
            #expect(events == Self.expected, "cut at \(cut)")
        }
        #expect(Self.events(bytes.map { [$0] }, sender: sender) == Self.expected)
    }

    @Test("Random pieces and random payloads come out as they went in", arguments: [UInt64](1...4))
    func randomPieces(seed: UInt64) {
        var random = WireRandom(seed: seed)
        for round in 0..<40 {
            var bytes: [UInt8] = []
            var expected: [MessageAssembler.Event] = []
            for _ in 0..<8 {
                let payload = random.bytes([0, 3, 125, 126, 2000].randomElement(using: &random) ?? 0)
                let parts = WireBytes.chunks(payload, using: &random)
                for (index, part) in (parts.isEmpty ? [[]] : parts).enumerated() {
                    let head: UInt8 = (index == 0 ? 2 : 0) | (index >= parts.count - 1 ? 0x80 : 0)
                    bytes += WireBytes.frame(head, part, mask: UInt32.random(in: 0 ... .max, using: &random))
                }
                expected.append(.message(.binary, ByteBuffer(bytes: payload)))
            }
            let pieces = WireBytes.chunks(bytes, using: &random)
            #expect(Self.events(pieces, sender: .client) == expected, "seed \(seed), round \(round)")
        }
    }

    @Test(
        "A broken rule gives its close code",
        arguments: [
            (WireBytes.frame(0x81, [0x61], mask: 1), .protocolError),
            (WireBytes.frame(0xC1, [0x61]), .protocolError),
            (WireBytes.frame(0x80), .protocolError),
            (WireBytes.frame(0x01) + WireBytes.frame(0x81), .protocolError),
            (WireBytes.close(1005), .protocolError),
            (WireBytes.close(1000, [0xFF]), .invalidPayload),
            (WireBytes.frame(0x81, [0xED, 0xA0, 0x80]), .invalidPayload),
            (WireBytes.frame(0x01, [0xE2]) + WireBytes.frame(0x80, [0x82]), .invalidPayload),
            ([0x82, 11], .messageTooBig),
            (WireBytes.frame(0x02, [UInt8](repeating: 0, count: 10)) + [0x80, 1], .messageTooBig),
            ([0x82, 127, 0x7F] + [UInt8](repeating: 0xFF, count: 7), .messageTooBig),
        ] as [([UInt8], CloseCode)])
    func violations(bytes: [UInt8], code: CloseCode) {
        #expect(Self.code(Self.events([bytes], limit: 10).last) == code)
        #expect(Self.code(Self.events(bytes.map { [$0] }, limit: 10).last) == code)
    }

    @Test("Masked text is validated as what it stands for")
    func maskedText() {
        let good = WireBytes.frame(0x81, Array("grüße".utf8), mask: 0xFFFF_FFFF)
        #expect(Self.events([good], sender: .client) == [Self.message(.text, "grüße")])
        let bad = WireBytes.frame(0x81, [0x61, 0xFF], mask: 0x8080_8080)
        #expect(Self.code(Self.events([bad], sender: .client).last) == .invalidPayload)
    }

    @Test("Having failed, it says the same of whatever comes")
    func staysFailed() {
        var assembler = MessageAssembler(sender: .server, messageLimit: 10)
        assembler.append(ByteBuffer(bytes: [0x83, 0]))
        let first = assembler.next()
        #expect(Self.code(first) == .protocolError)
        assembler.append(ByteBuffer(bytes: WireBytes.frame(0x82, [1])))
        #expect(assembler.next() == first)
    }

    @Test("Fragments are refused where they are not allowed, at the first of them; whole messages pass")
    func fragmentsRefused() {
        var assembler = MessageAssembler(sender: .server, messageLimit: 10, allowsFragments: false)
        assembler.append(ByteBuffer(bytes: WireBytes.frame(0x81, [0x61]) + WireBytes.frame(0x82) + [0x01, 1]))
        #expect(assembler.next() == Self.message(.text, "a"))
        #expect(assembler.next() == Self.message(.binary, ""))
        #expect(Self.code(assembler.next()) == .protocolError)
    }

    @Test("Is idle only between messages with nothing left over")
    func idle() {
        var assembler = MessageAssembler(sender: .server, messageLimit: 10)
        #expect(assembler.isIdle)
        let bytes: [UInt8] = [0x02, 1, 7, 0x80, 1, 8]
        for (byte, idle) in zip(bytes, [false, false, false, false, false, true]) {
            assembler.append(ByteBuffer(bytes: [byte]))
            while assembler.next() != .needMore {}
            #expect(assembler.isIdle == idle)
        }
    }

    @Test("The appended buffer is the caller's: it is not changed by unmasking")
    func callersBuffer() {
        let bytes = WireBytes.frame(0x89, [1, 2, 3], mask: 7) + WireBytes.frame(0x82, [1, 2, 3], mask: 9)
        let buffer = ByteBuffer(bytes: bytes)
        var assembler = MessageAssembler(sender: .client, messageLimit: 10)
        assembler.append(buffer)
        while assembler.next() != .needMore {}
        #expect(Array(buffer.readableBytesView) == bytes)
    }

    @Test("Any bytes whatever are taken without a trap", arguments: [UInt64](1...4))
    func anyBytes(seed: UInt64) {
        var random = WireRandom(seed: seed)
        for _ in 0..<400 {
            var bytes = Self.conversation(WireBytes.mask)
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let whole = Self.events([bytes], sender: .client, limit: 40)
            #expect(Self.events(WireBytes.chunks(bytes, using: &random), sender: .client, limit: 40) == whole)
            _ = Self.events([random.bytes(40)], sender: .server, limit: .max)
        }
    }
}

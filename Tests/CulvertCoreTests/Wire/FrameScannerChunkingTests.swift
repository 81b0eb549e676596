import CulvertCore
import Testing

@Suite("Frame scanner: however the bytes arrive, the events are the same")
struct FrameScannerChunkingTests {
    struct Stream: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var bytes: [UInt8]
        var sender: Endpoint
        var rsv: UInt8
        var limit: Int

        var scanner: FrameScanner {
            FrameScanner(sender: self.sender, messageLimit: self.limit, allowedRSV: self.rsv, validateText: true)
        }

        init(_ name: String, _ bytes: [UInt8], sender: Endpoint = .server, rsv: UInt8 = 0, limit: Int = 1 << 20) {
            self.testDescription = name
            self.bytes = bytes
            self.sender = sender
            self.rsv = rsv
            self.limit = limit
        }
    }

    private static func conversation(_ mask: UInt32?) -> [UInt8] {
        WireBytes.frame(0x81, Array("hello, wörld".utf8), mask: mask)
            + WireBytes.frame(0x89, [1, 2, 3], mask: mask)
            + WireBytes.frame(0x82, [], mask: mask)
            + WireBytes.frame(0x01, Array("€uro".utf8.prefix(2)), mask: mask)
            + WireBytes.frame(0x8A, [UInt8](repeating: 5, count: 125), mask: mask)
            + WireBytes.frame(0x00, [], mask: mask)
            + WireBytes.frame(0x80, Array("€uro".utf8.dropFirst(2)), mask: mask.map { ~$0 })
            + WireBytes.frame(0x82, [UInt8](repeating: 0xFF, count: 300), mask: mask)
            + WireBytes.close(1000, Array("done".utf8), mask: mask)
    }

    static let small: [Stream] = [
        Stream("client", conversation(WireBytes.mask), sender: .client),
        Stream("server", conversation(nil)),
        Stream(
            "compressed",
            WireBytes.frame(0x41, [0xFF, 0xE2]) + WireBytes.frame(0x80, [0xC0]) + WireBytes.frame(0x81, [0x61]),
            rsv: 4),
        Stream("unknown opcode", WireBytes.frame(0x82, [1, 2, 3]) + WireBytes.frame(0x83, [1])),
        Stream("length not minimal", WireBytes.frame(0x81) + WireBytes.frame(0x82, [1], lengthBytes: 8)),
        Stream("length of 2^64-1", [0x82, 127] + [UInt8](repeating: 0xFF, count: 8), limit: .max),
        Stream("unmasked client", WireBytes.frame(0x82, [1], mask: 7) + WireBytes.frame(0x82, [1]), sender: .client),
        Stream(
            "over the limit", WireBytes.frame(0x02, [1, 2], mask: 1) + WireBytes.frame(0x80, [3], mask: 2),
            sender: .client, limit: 2),
        Stream(
            "bad text", WireBytes.frame(0x81, Array("some ascii ".utf8) + [0xF4, 0x90, 0x80, 0x80], mask: 99),
            sender: .client),
        Stream("text cut short", WireBytes.frame(0x01, [0xF0, 0x9F]) + WireBytes.frame(0x80, [0x98])),
        Stream("bad close code", WireBytes.frame(0x81, [0x61]) + WireBytes.close(1005)),
        Stream("bad close reason", WireBytes.close(1000, [0x61, 0xFF], mask: 0x01020304), sender: .client),
        Stream("bytes behind a close", WireBytes.close(1000) + WireBytes.frame(0x82, [1])),
        Stream("unfinished header", WireBytes.frame(0x82, [1]) + [0x82, 126, 1]),
        Stream("unfinished payload", WireBytes.frame(0x82, [1]) + [0x82, 20, 1, 2, 3]),
    ]

    static let large: [Stream] = [nil, WireBytes.mask].flatMap { (mask: UInt32?) -> [Stream] in
        let sender = mask == nil ? Endpoint.server : .client
        let text = Array(String(repeating: "aé€𝄞 ascii ascii ascii ", count: 3000).utf8)
        let after = conversation(mask)
        let bad = text + [0xFF]
        return [
            Stream("64-bit length, mask \(mask ?? 0)", WireBytes.frame(0x82, text, mask: mask) + after, sender: sender),
            Stream("long text, mask \(mask ?? 0)", WireBytes.frame(0x81, text, mask: mask) + after, sender: sender),
            Stream("long bad text, mask \(mask ?? 0)", WireBytes.frame(0x81, bad, mask: mask), sender: sender),
        ]
    }

    /// Everything is equal but how much of a text passes before it proves to be none: pieces may be gone by then.
    private func expectSame(_ whole: ScanRecord, _ pieces: ScanRecord, _ bytes: [UInt8], _ comment: Comment) {
        #expect(pieces.broken.isEmpty, comment)
        #expect(pieces.events == whole.events, comment)
        #expect(pieces.messages == whole.messages, comment)
        if whole.violation == .invalidPayload {
            #expect(pieces.forwarded.starts(with: whole.forwarded), comment)
        } else {
            #expect(pieces.forwarded == whole.forwarded, comment)
            #expect(pieces.carry == whole.carry, comment)
            #expect(pieces.payloadBytes == whole.payloadBytes, comment)
            #expect(pieces.isAtFrameBoundary == whole.isAtFrameBoundary, comment)
        }
    }

    @Test("Cut in two anywhere", arguments: small)
    func everySplit(_ stream: Stream) {
        let whole = ScanRecord.of([stream.bytes], stream.scanner)
        #expect(whole.broken.isEmpty)
        for cut in 0...stream.bytes.count {
            let pieces = [Array(stream.bytes[..<cut]), Array(stream.bytes[cut...])]
            self.expectSame(whole, ScanRecord.of(pieces, stream.scanner), stream.bytes, "cut at \(cut)")
        }
    }

    @Test("Byte by byte", arguments: small)
    func byteByByte(_ stream: Stream) {
        let whole = ScanRecord.of([stream.bytes], stream.scanner)
        self.expectSame(whole, ScanRecord.of(stream.bytes.map { [$0] }, stream.scanner), stream.bytes, "single bytes")
    }

    @Test("In random pieces", arguments: small + large)
    func randomPieces(_ stream: Stream) {
        var random = WireRandom(seed: 11)
        let whole = ScanRecord.of([stream.bytes], stream.scanner)
        for round in 0..<(stream.bytes.count > 2000 ? 4 : 60) {
            let pieces = WireBytes.chunks(stream.bytes, using: &random)
            self.expectSame(whole, ScanRecord.of(pieces, stream.scanner), stream.bytes, "round \(round)")
        }
    }

    @Test("The corpus is what it says: good conversations pass whole, the others end in a violation")
    func corpus() {
        let codes = Self.small.map { ScanRecord.of([$0.bytes], $0.scanner).violation }
        #expect(
            codes == [
                nil, nil, nil, .protocolError, .protocolError, .protocolError, .protocolError, .messageTooBig,
                .invalidPayload, .invalidPayload, .protocolError, .invalidPayload, nil, nil, nil,
            ])
        #expect(ScanRecord.of([Self.small[1].bytes], Self.small[1].scanner).messages == 4)
    }

    @Test("Any bytes whatever are taken without a trap, and the same in pieces", arguments: [UInt64](1...8))
    func anyBytes(seed: UInt64) {
        var random = WireRandom(seed: seed)
        for round in 0..<250 {
            let sender = Bool.random(using: &random) ? Endpoint.client : .server
            let bytes = Self.almostFrames(sender, using: &random)
            let scanner = FrameScanner(
                sender: sender, messageLimit: [0, 200, 1 << 20, .max].randomElement(using: &random) ?? 0,
                allowedRSV: UInt8.random(in: 0...7, using: &random), validateText: Bool.random(using: &random))
            let whole = ScanRecord.of([bytes], scanner)
            #expect(whole.broken.isEmpty)
            let pieces = WireBytes.chunks(bytes, using: &random)
            self.expectSame(whole, ScanRecord.of(pieces, scanner), bytes, "seed \(seed), round \(round)")
        }
    }

    /// Noise, and frames that are right but for a byte, so that the scan gets further than the first header.
    private static func almostFrames(_ sender: Endpoint, using random: inout WireRandom) -> [UInt8] {
        if Int.random(in: 0..<4, using: &random) == 0 { return random.bytes(Int.random(in: 0...80, using: &random)) }
        var bytes: [UInt8] = []
        for _ in 0..<Int.random(in: 1...8, using: &random) {
            let head: UInt8 = [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A, 0x88].randomElement(using: &random) ?? 0
            let mask = sender == .client ? UInt32.random(in: 0 ... .max, using: &random) : nil
            let count = [0, 1, 5, 100, 125, 126, 500].randomElement(using: &random) ?? 0
            let payload = Bool.random(using: &random) ? random.bytes(count) : [UInt8](repeating: 0x61, count: count)
            bytes += WireBytes.frame(head, payload, mask: mask)
        }
        if Bool.random(using: &random), let index = bytes.indices.randomElement(using: &random) {
            bytes[index] = UInt8.random(in: 0...255, using: &random)
        }
        return bytes
    }
}

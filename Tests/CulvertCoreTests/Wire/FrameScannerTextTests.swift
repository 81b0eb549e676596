import CulvertCore
import Testing

@Suite("Frame scanner: text, control frames and borders")
struct FrameScannerTextTests {
    private static func scan(
        _ bytes: [UInt8], sender: Endpoint = .server, rsv: UInt8 = 0, validate: Bool = true
    ) -> ScanRecord {
        ScanRecord.of(
            [bytes], FrameScanner(sender: sender, messageLimit: 1 << 20, allowedRSV: rsv, validateText: validate))
    }

    static let masks: [UInt32?] = [nil, 0, WireBytes.mask, 0xFFFF_FFFF, 0x8080_8080]

    @Test("Text that is UTF-8 passes, masked or not, cut anywhere between fragments", arguments: masks)
    func goodText(mask: UInt32?) {
        let text = Array("aé€𝄞 plain ascii of some length €é𝄞".utf8)
        for cut in 0...text.count {
            let bytes =
                WireBytes.frame(0x01, Array(text[..<cut]), mask: mask)
                + WireBytes.frame(0x80, Array(text[cut...]), mask: mask.map { $0 ^ 0x0102_0304 })
            let record = Self.scan(bytes, sender: mask == nil ? .server : .client)
            #expect(record.events.isEmpty, "cut at \(cut)")
            #expect(record.forwarded == bytes)
            #expect(record.messages == 1)
            #expect(record.payloadBytes == UInt64(text.count))
        }
    }

    @Test("Text that is not UTF-8 gives 1007, masked or not, cut anywhere between fragments", arguments: masks)
    func badText(mask: UInt32?) {
        let text = Array("twelve ascii".utf8) + [0xED, 0xA0, 0x80] + Array("and so on".utf8)
        for cut in 0...text.count {
            let bytes =
                WireBytes.frame(0x01, Array(text[..<cut]), mask: mask)
                + WireBytes.frame(0x80, Array(text[cut...]), mask: mask.map { $0 ^ 0x0102_0304 })
            #expect(Self.scan(bytes, sender: mask == nil ? .server : .client).violation == .invalidPayload)
        }
    }

    @Test("A surrogate is found before its frame is whole")
    func failsFast() {
        #expect(Self.scan([0x81, 100, 0x61, 0xED]).violation == nil)
        #expect(Self.scan([0x81, 100, 0x61, 0xED, 0xA0]).violation == .invalidPayload)
    }

    @Test("A message that ends inside a character gives 1007, a fragment that does so not")
    func incompleteCharacter() {
        #expect(Self.scan(WireBytes.frame(0x81, [0xE2, 0x82])).violation == .invalidPayload)
        #expect(Self.scan(WireBytes.frame(0x01, [0xE2, 0x82])).violation == nil)
        #expect(Self.scan(WireBytes.frame(0x01, [0xE2, 0x82]) + WireBytes.frame(0x80)).violation == .invalidPayload)
        let pinged =
            WireBytes.frame(0x01, [0xE2]) + WireBytes.frame(0x89, [0xFF]) + WireBytes.frame(0x80, [0x82, 0xAC])
        #expect(Self.scan(pinged).violation == nil)
    }

    @Test("Text that ends inside a character is never forwarded to its end", arguments: [nil, WireBytes.mask])
    func cutTextIsNotWhole(mask: UInt32?) {
        let sender: Endpoint = mask == nil ? .server : .client
        let cut: [UInt8] = [0x61, 0x62, 0xE2, 0x82]
        let single = WireBytes.frame(0x81, cut, mask: mask)
        let open = WireBytes.frame(0x01, cut, mask: mask)
        let attacks = [
            single, open + WireBytes.frame(0x80, [], mask: mask),
            open + WireBytes.frame(0x80, [0xAC, 0xE2], mask: mask),
        ]
        for bytes in attacks {
            for split in 0...bytes.count {
                let record = ScanRecord.of(
                    [Array(bytes[..<split]), Array(bytes[split...])],
                    FrameScanner(sender: sender, messageLimit: 1 << 20, allowedRSV: 0, validateText: true))
                #expect(record.violation == .invalidPayload)
                #expect(record.forwarded.count < bytes.count, "\(bytes) split at \(split)")
                #expect(record.messages == 0)
                // Between frames only where the receiver has whole frames, of a message that does not end.
                #expect(record.isAtFrameBoundary == (record.forwarded == open))
            }
        }
    }

    @Test("Binary, compressed and unvalidated text may be any bytes")
    func notValidated() {
        let payload: [UInt8] = [0xFF, 0xC0, 0x80]
        #expect(Self.scan(WireBytes.frame(0x82, payload)).violation == nil)
        #expect(Self.scan(WireBytes.frame(0xC1, payload), rsv: 4).violation == nil)
        #expect(Self.scan(WireBytes.frame(0x41, [0xE2]) + WireBytes.frame(0x80, payload), rsv: 4).violation == nil)
        #expect(Self.scan(WireBytes.frame(0x81, payload), validate: false).violation == nil)
    }

    @Test("Text without RSV1 is validated though compression was negotiated, also behind a compressed message")
    func validatedBesideCompressed() {
        #expect(Self.scan(WireBytes.frame(0x81, [0xFF]), rsv: 4).violation == .invalidPayload)
        let mixed = WireBytes.frame(0xC1, [0xFF, 0xE2]) + WireBytes.frame(0x81, Array("€".utf8))
        #expect(Self.scan(mixed, rsv: 4).violation == nil)
        #expect(Self.scan(mixed + WireBytes.frame(0x81, [0xFF]), rsv: 4).violation == .invalidPayload)
    }

    @Test("Control frames are handed out with their header and not let through", arguments: [nil, WireBytes.mask])
    func controls(mask: UInt32?) {
        let head = mask == nil ? 2 : 6
        let data = WireBytes.frame(0x02, [1, 2, 3], mask: mask)
        let end = WireBytes.frame(0x80, [4], mask: mask)
        let bytes =
            data + WireBytes.frame(0x89, [7, 8, 9, 10, 11], mask: mask) + end
            + WireBytes.close(1001, Array("bye".utf8), mask: mask)
        let record = Self.scan(bytes, sender: mask == nil ? .server : .client)
        #expect(record.forwarded == data + end)
        #expect(
            record.events == [
                .control(
                    offset: data.count,
                    FrameHeader(fin: true, rsv: 0, opcode: .ping, mask: mask, payloadLength: 5, headerLength: head),
                    payload: [7, 8, 9, 10, 11]),
                .control(
                    offset: data.count + end.count,
                    FrameHeader(fin: true, rsv: 0, opcode: .close, mask: mask, payloadLength: 5, headerLength: head),
                    payload: [0x03, 0xE9] + Array("bye".utf8)),
            ])
        #expect(record.messages == 1)
        #expect(record.payloadBytes == 4)
    }

    @Test("The longest carry is one byte less than the longest control frame")
    func longestCarry() {
        let ping = WireBytes.frame(0x89, [UInt8](repeating: 1, count: 125), mask: WireBytes.mask)
        let record = Self.scan(Array(ping.dropLast()), sender: .client)
        #expect(record.carry.count == 130)
        #expect(record.forwarded.isEmpty)
        #expect(record.broken.isEmpty)
    }

    @Test("An empty buffer changes nothing")
    func empty() {
        var scanner = FrameScanner(sender: .client, messageLimit: 10, allowedRSV: 0, validateText: true)
        let scan = scanner.scan(UnsafeRawBufferPointer(start: nil, count: 0), stopAtBoundary: false)
        #expect(scan.accepted == 0 && scan.stop == .end)
        #expect(scanner.isAtFrameBoundary)
    }

    @Test("Asked to stop at a border, it does so after the frame under way and nowhere else")
    func boundary() {
        let first = WireBytes.frame(0x02, [1, 2, 3, 4, 5], mask: WireBytes.mask)
        let bytes = first + WireBytes.frame(0x80, [6], mask: WireBytes.mask)
        // From the first payload byte on: before, the header is not whole and nothing of the frame was accepted.
        for cut in 6...first.count {
            var scanner = FrameScanner(sender: .client, messageLimit: 100, allowedRSV: 0, validateText: true)
            let head = Array(bytes[..<cut]).withUnsafeBytes { scanner.scan($0, stopAtBoundary: false) }
            #expect(head.accepted == cut && head.stop == .end)
            #expect(scanner.isAtFrameBoundary == (cut == first.count))
            let rest = Array(bytes[cut...])
            let stopped = rest.withUnsafeBytes { scanner.scan($0, stopAtBoundary: true) }
            #expect(stopped.accepted == first.count - cut && stopped.stop == .boundary)
            #expect(scanner.isAtFrameBoundary)
            #expect(!scanner.isBetweenMessages)
            let tail = Array(bytes[first.count...]).withUnsafeBytes { scanner.scan($0, stopAtBoundary: false) }
            #expect(tail.accepted == 7 && tail.stop == .end)
            #expect(scanner.isBetweenMessages)
            #expect(scanner.messages == 1)
        }
    }

    @Test("No border is reported while the frame goes on beyond the buffer, nor at the end of the buffer")
    func noBoundary() {
        var scanner = FrameScanner(sender: .server, messageLimit: 100, allowedRSV: 0, validateText: true)
        _ = [UInt8]([0x82, 3, 1]).withUnsafeBytes { scanner.scan($0, stopAtBoundary: false) }
        let inside = [UInt8]([2]).withUnsafeBytes { scanner.scan($0, stopAtBoundary: true) }
        #expect(inside.accepted == 1 && inside.stop == .end)
        let last = [UInt8]([3]).withUnsafeBytes { scanner.scan($0, stopAtBoundary: true) }
        #expect(last.accepted == 1 && last.stop == .end)
        #expect(scanner.isAtFrameBoundary)
    }
}

import CulvertCore
import Testing

@Suite("Frame scanner: the rules of RFC 6455")
struct FrameScannerRuleTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var bytes: [UInt8]
        /// Nil: nothing wrong.
        var code: CloseCode?
        var sender = Endpoint.server
        var rsv: UInt8 = 0
        var limit = 1000

        init(
            _ name: String, _ bytes: [UInt8], _ code: CloseCode? = .protocolError, sender: Endpoint = .server,
            rsv: UInt8 = 0, limit: Int = 1000
        ) {
            self.testDescription = name
            self.bytes = bytes
            self.code = code
            self.sender = sender
            self.rsv = rsv
            self.limit = limit
        }

        var record: ScanRecord {
            ScanRecord.of(
                [self.bytes],
                FrameScanner(
                    sender: self.sender, messageLimit: self.limit, allowedRSV: self.rsv, validateText: true))
        }
    }

    private static func frame(_ head: UInt8, _ payload: [UInt8] = [], mask: UInt32? = nil) -> [UInt8] {
        WireBytes.frame(head, payload, mask: mask)
    }

    private static let key = WireBytes.mask

    static let masks: [Case] = [
        Case("masked from a client", frame(0x81, [0x61], mask: key), nil, sender: .client),
        Case("masked with a key of zeros", frame(0x81, [0x61], mask: 0), nil, sender: .client),
        Case("unmasked from a client", frame(0x81, [0x61]), sender: .client),
        Case("unmasked and empty from a client", frame(0x82), sender: .client),
        Case("unmasked ping from a client", frame(0x89), sender: .client),
        Case("unmasked from a server", frame(0x81, [0x61]), nil),
        Case("masked from a server", frame(0x81, [0x61], mask: key)),
        Case("masked pong from a server", frame(0x8A, mask: key)),
    ]

    static let opcodes: [Case] = [0x83, 0x84, 0x85, 0x86, 0x87, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F].map {
        Case("opcode \($0 & 15)", frame($0))
    }

    static let reserved: [Case] =
        [0x40, 0x20, 0x10].flatMap { bit in
            [
                Case("RSV \(bit) on text with no extension", frame(0x81 | bit)),
                Case("RSV \(bit) on a ping with every bit allowed", frame(0x89 | bit), rsv: 7),
                Case("RSV \(bit) on a close with every bit allowed", frame(0x88 | bit), rsv: 7),
            ]
        } + [
            Case("RSV1 with permessage-deflate", frame(0xC1, [0xFF]), nil, rsv: 4),
            Case("RSV1 on the first of several", frame(0x42, [1]) + frame(0x80, [2]), nil, rsv: 4),
            Case("RSV1 on a continuation", frame(0x42, [1]) + frame(0xC0, [2]), rsv: 4),
            Case("RSV2 with permessage-deflate", frame(0xA1), rsv: 4),
            Case("RSV3 with permessage-deflate", frame(0x91), rsv: 4),
            Case("RSV1 and RSV2 with permessage-deflate", frame(0xE1), rsv: 4),
        ]

    static let fragments: [Case] = [
        Case("continuation of nothing", frame(0x80)),
        Case("continuation of nothing, not final", frame(0x00)),
        Case("continuation after a whole message", frame(0x82, [1]) + frame(0x80)),
        Case("text inside a message", frame(0x01, [0x61]) + frame(0x81, [0x61])),
        Case("binary inside a message", frame(0x02) + frame(0x02)),
        Case("three parts, one empty", frame(0x01, [0x61]) + frame(0x00) + frame(0x80, [0x62]), nil),
        Case("ping between parts", frame(0x02, [1]) + frame(0x89, [9]) + frame(0x80, [2]), nil),
        Case("a new message after a fragmented one", frame(0x02) + frame(0x80) + frame(0x81), nil),
    ]

    static let controls: [Case] =
        [0x88, 0x89, 0x8A].flatMap { (head: UInt8) in
            [
                Case("fragmented control \(head)", frame(head & 0x0F)),
                Case("control \(head) of 126 bytes", frame(head, [UInt8](repeating: 3, count: 126))),
                Case("control \(head), length in 2 bytes", WireBytes.frame(head, [3, 0xE8], lengthBytes: 2)),
                Case("control \(head), length in 8 bytes", WireBytes.frame(head, [3, 0xE8], lengthBytes: 8)),
            ]
        } + [
            Case("ping of 125 bytes", frame(0x89, [UInt8](repeating: 0xFF, count: 125)), nil),
            Case("empty pong", frame(0x8A), nil),
            Case("close of 125 bytes", WireBytes.close(1000, [UInt8](repeating: 0x61, count: 123)), nil),
        ]

    static let lengths: [Case] = [
        Case("126 in 2 bytes", frame(0x82, [UInt8](repeating: 0, count: 126)), nil),
        Case("125 in 2 bytes", WireBytes.frame(0x82, [UInt8](repeating: 0, count: 125), lengthBytes: 2)),
        Case("0 in 2 bytes", WireBytes.frame(0x82, lengthBytes: 2)),
        Case("0 in 8 bytes", WireBytes.frame(0x82, lengthBytes: 8)),
        Case("65535 in 8 bytes", [0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], limit: 1 << 20),
        Case("65536 in 8 bytes", [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], nil, limit: 1 << 20),
        Case("most significant bit set", [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], limit: .max),
        Case("every bit set", [0x82, 127] + [UInt8](repeating: 0xFF, count: 8), limit: .max),
        Case(
            "largest length, largest limit", [0x82, 127, 0x7F] + [UInt8](repeating: 0xFF, count: 7), nil, limit: .max),
    ]

    static let limits: [Case] = [
        Case("just the limit", frame(0x82, [1, 2, 3, 4]), nil, limit: 4),
        Case("one over the limit", frame(0x82, [1, 2, 3, 4, 5]), .messageTooBig, limit: 4),
        Case("over the limit by its header alone", [0x82, 126, 0x10, 0], .messageTooBig),
        Case("2^63-1 by its header alone", [0x82, 127, 0x7F] + [UInt8](repeating: 0xFF, count: 7), .messageTooBig),
        Case("the limit in parts", frame(0x02, [1, 2]) + frame(0, [3]) + frame(0x80, [4]), nil, limit: 4),
        Case(
            "over the limit in parts", frame(0x02, [1, 2]) + frame(0, [3, 4]) + frame(0x80, [5]), .messageTooBig,
            limit: 4),
        Case("two whole messages of the limit", frame(0x82, [1, 2, 3, 4]) + frame(0x82, [1, 2, 3, 4]), nil, limit: 4),
        Case("a ping counts for nothing", frame(0x02, [1, 2, 3, 4]) + frame(0x89, [1]) + frame(0x80), nil, limit: 4),
        Case(
            "parts whose lengths would overflow",
            frame(0x02, [1]) + [0x00, 127, 0x7F] + [UInt8](repeating: 0xFF, count: 7), .messageTooBig, limit: .max),
    ]

    static let closes: [Case] =
        [0, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65535].map {
            Case("close code \($0)", WireBytes.close($0))
        }
        + [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999].map {
            Case("close code \($0)", WireBytes.close($0), nil)
        } + [
            Case("close without a body", frame(0x88), nil),
            Case("close of one byte", frame(0x88, [3])),
            Case("reason in UTF-8", WireBytes.close(1000, Array("größe".utf8)), nil),
            Case("reason not UTF-8", WireBytes.close(1000, [0xC3, 0x28]), .invalidPayload),
            Case("reason cut in a character", WireBytes.close(1000, [0xE2, 0x82]), .invalidPayload),
            Case("bad code before bad reason", WireBytes.close(1005, [0xFF])),
            Case("masked reason not UTF-8", WireBytes.close(1000, [0xFF], mask: key), .invalidPayload, sender: .client),
            Case("masked close", WireBytes.close(1001, Array("tschüß".utf8), mask: key), nil, sender: .client),
        ]

    @Test(
        "A broken rule gives its close code, anything else none",
        arguments: [
            masks, opcodes, reserved, fragments, controls, lengths, limits, closes,
        ].flatMap { $0 })
    func rule(_ item: Case) {
        let record = item.record
        #expect(record.violation == item.code)
        #expect(record.broken.isEmpty)
    }

    @Test("What breaks a rule is not let through, what came before is")
    func acceptsUpToTheViolation() {
        let good = WireBytes.frame(0x82, [1, 2, 3]) + WireBytes.frame(0x81, [0x61])
        let record = ScanRecord.of(
            [good + WireBytes.frame(0x83, [4])],
            FrameScanner(sender: .server, messageLimit: 10, allowedRSV: 0, validateText: true))
        #expect(record.forwarded == good)
        #expect(record.violation == .protocolError)
        #expect(record.messages == 2)
    }

    @Test("A message over the limit is refused before any byte of its last frame is let through")
    func limitBeforeHeader() {
        let first = WireBytes.frame(0x02, [1, 2, 3])
        let record = ScanRecord.of(
            [first + WireBytes.frame(0x80, [4, 5])],
            FrameScanner(sender: .server, messageLimit: 4, allowedRSV: 0, validateText: false))
        #expect(record.forwarded == first)
        #expect(record.violation == .messageTooBig)
    }

    @Test(
        "A header that cannot be right fails at the byte that makes it so",
        arguments: [
            ([0x83], 1), ([0xC1], 1), ([0x09], 1), ([0x80], 1), ([0x81, 0x81], 2), ([0x89, 126], 2),
        ] as [([UInt8], Int)])
    func failsEarly(bytes: [UInt8], count: Int) {
        #expect(bytes.count == count)
        let scanner = FrameScanner(sender: .server, messageLimit: 10, allowedRSV: 0, validateText: true)
        #expect(ScanRecord.of([bytes], scanner).violation == .protocolError)
        #expect(ScanRecord.of([Array(bytes.dropLast())], scanner).violation == nil)
    }
}

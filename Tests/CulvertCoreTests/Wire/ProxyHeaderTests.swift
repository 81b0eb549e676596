import CulvertCore
import NIOCore
import Testing

@Suite("PROXY protocol")
struct ProxyHeaderTests {
    private static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10]

    struct Row: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var bytes: [UInt8]
        var header: ProxyHeader
    }

    private static func text(_ line: String) -> [UInt8] { Array(line.utf8) }

    private static func binary(_ command: UInt8, _ family: UInt8, _ body: [UInt8]) -> [UInt8] {
        self.signature + [command, family, UInt8(body.count / 256), UInt8(body.count % 256)] + body
    }

    static func proxied(_ source: String, _ port: UInt16, _ destination: String, _ other: UInt16) -> ProxyHeader {
        guard let source = IPAddress(source), let destination = IPAddress(destination) else { return .local }
        return .proxied(
            source: .init(address: source, port: port), destination: .init(address: destination, port: other))
    }

    private static let ipv4: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 7, 0x12, 0x34, 0x01, 0xBB]
    private static let ipv6: [UInt8] =
        [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [1]
        + [UInt8](repeating: 0, count: 15) + [1] + [0xFF, 0xFF, 0, 80]
    /// The last is of no type that anybody has.
    private static let extensions: [UInt8] = [
        0x03, 0, 4, 1, 2, 3, 4, 0x02, 0, 3, 97, 46, 98, 0x04, 0, 0, 0xEF, 0, 1, 9,
    ]

    private static let good: [Row] = [
        Row(
            testDescription: "line, IPv4", bytes: text("PROXY TCP4 192.0.2.1 198.51.100.7 4660 443\r\n"),
            header: proxied("192.0.2.1", 4660, "198.51.100.7", 443)),
        Row(
            testDescription: "line, IPv6", bytes: text("PROXY TCP6 2001:db8::1 ::1 65535 80\r\n"),
            header: proxied("2001:db8::1", 65535, "::1", 80)),
        Row(
            testDescription: "line, mapped IPv4 is IPv4",
            bytes: text("PROXY TCP6 ::ffff:192.0.2.1 ::FFFF:c633:6407 0 0\r\n"),
            header: proxied("192.0.2.1", 0, "198.51.100.7", 0)),
        Row(
            testDescription: "line, as long as it may be",
            bytes: text("PROXY UNKNOWN " + Array(repeating: "f", count: 91).joined() + "\r\n"), header: .unknown),
        Row(testDescription: "line, unknown", bytes: text("PROXY UNKNOWN\r\n"), header: .unknown),
        Row(
            testDescription: "line, unknown with addresses", bytes: text("PROXY UNKNOWN ff::1 ff::1 1 2\r\n"),
            header: .unknown),
        Row(
            testDescription: "binary, IPv4", bytes: binary(0x21, 0x11, ipv4),
            header: proxied("192.0.2.1", 0x1234, "198.51.100.7", 443)),
        Row(
            testDescription: "binary, IPv6", bytes: binary(0x21, 0x21, ipv6),
            header: proxied("2001:db8::1", 65535, "::1", 80)),
        Row(
            testDescription: "binary, IPv4 and more", bytes: binary(0x21, 0x11, ipv4 + extensions),
            header: proxied("192.0.2.1", 0x1234, "198.51.100.7", 443)),
        Row(
            testDescription: "binary, IPv6 and as much as there may be",
            bytes: binary(0x21, 0x21, ipv6 + [UInt8](repeating: 0xEE, count: 4096 - 16 - 36)),
            header: proxied("2001:db8::1", 65535, "::1", 80)),
        Row(testDescription: "binary, local", bytes: binary(0x20, 0x00, []), header: .local),
        Row(testDescription: "binary, local with addresses", bytes: binary(0x20, 0x11, ipv4), header: .local),
        Row(testDescription: "binary, local of whatever family", bytes: binary(0x20, 0xFF, [1]), header: .local),
        Row(testDescription: "binary, unspecified", bytes: binary(0x21, 0x00, extensions), header: .unknown),
        Row(testDescription: "binary, datagrams", bytes: binary(0x21, 0x12, ipv4), header: .unknown),
        Row(
            testDescription: "binary, Unix", bytes: binary(0x21, 0x31, [UInt8](repeating: 0x2F, count: 216)),
            header: .unknown),
    ]

    @Test("A header is read, and what stands behind it is left", arguments: good)
    func whole(_ row: Row) {
        for behind in [[], [0x16, 3, 1], Self.signature, Self.text("PROXY ")] as [[UInt8]] {
            var buffer = ByteBuffer(bytes: [1, 2, 3] + row.bytes + behind)
            // As a buffer is that was read from before.
            buffer.moveReaderIndex(forwardBy: 3)
            #expect(ProxyHeader.parse(buffer) == .header(row.header, length: row.bytes.count))
        }
    }

    @Test("Every start of a header asks for more", arguments: good)
    func truncated(_ row: Row) {
        for count in 0..<row.bytes.count {
            #expect(ProxyHeader.parse(ByteBuffer(bytes: row.bytes[..<count])) == .needMore, "\(count) bytes")
        }
    }

    @Test(
        "What cannot become a header is refused as soon as that is certain",
        arguments: [
            ("another protocol", text("G"), 1), ("TLS", [0x16, 3, 1], 1), ("another case", text("proxy TCP4"), 1),
            ("no blank", text("PROXY\tTCP4"), 6), ("a broken signature", signature.dropLast() + [0x0B], 12),
            ("a line break of one", text("PROXY UNKNOWN\n"), 14), ("a lone return", text("PROXY UNKNOWN\rX"), 15),
            ("no end", text("PROXY UNKNOWN " + Array(repeating: "f", count: 93).joined()), 107),
            (
                "a return at the very end", text("PROXY UNKNOWN " + Array(repeating: "f", count: 92).joined() + "\r"),
                107
            ),
            ("version 1 in binary", signature + [0x11], 13), ("version 3", signature + [0x31], 13),
            ("another command", signature + [0x22], 13),
            ("too long by one", signature + [0x21, 0x11, 0x0F, 0xF1], 16),
            ("too long, local", signature + [0x20, 0x00, 0xFF, 0xFF], 16),
            ("too short for IPv4", signature + [0x21, 0x11, 0, 11], 16),
            ("too short for IPv6", signature + [0x21, 0x21, 0, 35], 16),
            ("too short for Unix", signature + [0x21, 0x31, 0, 215], 16),
            ("a family that is none", signature + [0x21, 0x41, 0, 12], 16),
            ("a transport that is none", signature + [0x21, 0x13, 0, 12], 16),
            ("a family without a transport", signature + [0x21, 0x10, 0, 12], 16),
        ] as [(String, [UInt8], Int)])
    func refusedEarly(_ name: String, _ bytes: [UInt8], _ certain: Int) {
        #expect(ProxyHeader.parse(ByteBuffer(bytes: bytes[..<(certain - 1)])) == .needMore)
        guard case .invalid = ProxyHeader.parse(ByteBuffer(bytes: bytes[..<certain])) else {
            Issue.record("\(name) was taken")
            return
        }
    }

    @Test(
        "A malformed line is refused",
        arguments: [
            "", "TCP4", "TCP5 1.1.1.1 2.2.2.2 1 2", "TCP4 1.1.1.1 2.2.2.2 1", "TCP4 1.1.1.1 2.2.2.2 1 2 3",
            "TCP4  1.1.1.1 2.2.2.2 1 2", "TCP4 1.1.1.1 2.2.2.2 1 2 ", "TCP4 1.1.1 2.2.2.2 1 2",
            "TCP4 1.1.1.256 2.2.2.2 1 2",
            "TCP4 ::1 ::1 1 2", "TCP6 1.1.1.1 2.2.2.2 1 2", "TCP6 ::1 2.2.2.2 1 2", "TCP6 ::g ::1 1 2",
            "TCP6 ::1%lo ::1 1 2",
            "TCP6 [::1] ::1 1 2", "TCP4 1.1.1.1 2.2.2.2 65536 2", "TCP4 1.1.1.1 2.2.2.2 01 2",
            "TCP4 1.1.1.1 2.2.2.2 +1 2",
            "TCP4 1.1.1.1 2.2.2.2 -1 2", "TCP4 1.1.1.1 2.2.2.2  2", "TCP4 1.1.1.1 2.2.2.2 1 99999999999999999999",
            "TCP4 1.1.1.1\u{0}x 2.2.2.2 1 2", "TCP4 1.1.1.1 2.2.2.2 1 ٢", "UNKNOWNS", "tcp4 1.1.1.1 2.2.2.2 1 2",
        ])
    func malformed(_ rest: String) {
        let parse = ProxyHeader.parse(ByteBuffer(string: "PROXY \(rest)\r\n"))
        guard case .invalid = parse else {
            Issue.record("\(parse)")
            return
        }
    }

    @Test("Whatever is changed in a header, and whatever garbage comes, is answered within its bounds")
    func garbage() {
        var generator = SystemRandomNumberGenerator()
        func look(_ bytes: [UInt8]) {
            switch ProxyHeader.parse(ByteBuffer(bytes: bytes)) {
            case .header(_, let length): #expect(length <= bytes.count)
            case .needMore: #expect(bytes.count < ProxyHeader.longest)
            case .invalid: break
            }
        }
        for row in Self.good where row.bytes.count < 300 {
            for at in row.bytes.indices {
                for byte in [0, 0x0A, 0x0D, 0x20, 0x30, 0x7F, 0xFF, UInt8.random(in: 0...255, using: &generator)] {
                    var bytes = row.bytes
                    bytes[at] = byte
                    look(bytes)
                }
            }
        }
        for start in [[], Self.signature, Self.text("PROXY ")] as [[UInt8]] {
            for count in 0..<500 {
                look(start + (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) })
            }
            look(start + [UInt8](repeating: 0x20, count: 5000))
        }
    }

    struct Sent: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var header: ProxyHeader
        var line: String
        var binary: [UInt8]
    }

    @Test(
        "Both versions are written as the specification has them, and are read back",
        arguments: [
            Sent(
                testDescription: "IPv4", header: proxied("192.0.2.1", 4660, "198.51.100.7", 443),
                line: "PROXY TCP4 192.0.2.1 198.51.100.7 4660 443\r\n", binary: binary(0x21, 0x11, ipv4)),
            Sent(
                testDescription: "IPv6", header: proxied("2001:db8::1", 65535, "::1", 80),
                line: "PROXY TCP6 2001:db8::1 ::1 65535 80\r\n", binary: binary(0x21, 0x21, ipv6)),
            Sent(
                testDescription: "one of each", header: proxied("2001:db8::1", 0, "198.51.100.7", 80),
                line: "PROXY TCP6 2001:db8::1 ::ffff:198.51.100.7 0 80\r\n",
                binary: binary(
                    0x21, 0x21,
                    ipv6[..<16] + [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF] + ipv4[4..<8] + [0, 0, 0, 80])),
            Sent(
                testDescription: "unknown", header: .unknown, line: "PROXY UNKNOWN\r\n", binary: binary(0x21, 0, [])),
            Sent(testDescription: "local", header: .local, line: "PROXY UNKNOWN\r\n", binary: binary(0x20, 0, [])),
        ])
    func written(_ sent: Sent) {
        var line = ByteBuffer()
        sent.header.write(.v1, into: &line)
        #expect(String(buffer: line) == sent.line)
        let read = sent.header == .local ? .unknown : sent.header
        #expect(ProxyHeader.parse(line) == .header(read, length: line.readableBytes))
        var binary = ByteBuffer()
        sent.header.write(.v2, into: &binary)
        #expect(Array(binary.readableBytesView) == sent.binary)
        #expect(ProxyHeader.parse(binary) == .header(sent.header, length: binary.readableBytes))
    }
}

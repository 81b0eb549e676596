package import NIOCore

extension ProxyHeader {
    /// The result of parsing the bytes at the start of a connection.
    package enum Parse: Equatable, Sendable {
        /// The start of a header, as far as they go.
        case needMore
        /// The header has `length` bytes. The bytes behind it were sent through the proxy.
        case header(ProxyHeader, length: Int)
        /// The bytes are not a header; the reason is for the log.
        case invalid(String)
    }

    /// As the specification has it: enough for two IPv6 addresses, and line break.
    private static let longestLine = 107
    /// Most bytes of a binary header. The specification asks for 536, its length field could say 65,535; the rest is
    /// for TLVs, none of which is looked at.
    package static let longest = 4096

    /// Looks for a header of either version. Never needs more than ``longest`` bytes.
    package static func parse(_ buffer: ByteBuffer) -> Parse {
        let bytes = buffer.readableBytesView
        guard let first = bytes.first else { return .needMore }
        return first == self.signature[0] ? self.parseBinary(buffer) : self.parseText(bytes)
    }

    // MARK: - version 1

    private static func parseText(_ bytes: ByteBufferView) -> Parse {
        let start = "PROXY ".utf8
        guard bytes.prefix(start.count).elementsEqual(start.prefix(bytes.count)) else {
            return .invalid("not a PROXY header")
        }
        let line = bytes.prefix(self.longestLine)
        let end = line.firstIndex { $0 == UInt8(ascii: "\r") || $0 == UInt8(ascii: "\n") }
        guard let end, line.index(after: end) < line.endIndex || line[end] == UInt8(ascii: "\n") else {
            return line.count < self.longestLine ? .needMore : .invalid("a PROXY line that does not end")
        }
        guard line[end] == UInt8(ascii: "\r"), line[line.index(after: end)] == UInt8(ascii: "\n") else {
            return .invalid("a PROXY line with a broken end")
        }
        let length = line.distance(from: line.startIndex, to: end) + 2
        let words = line[..<end].split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        // The text behind UNKNOWN is ignored, as the specification wants.
        if words.count >= 2, words[1].elementsEqual("UNKNOWN".utf8) { return .header(.unknown, length: length) }
        let isIPv4 = words.count == 6 && words[1].elementsEqual("TCP4".utf8)
        guard words.count == 6, isIPv4 || words[1].elementsEqual("TCP6".utf8),
            let source = self.node(words[2], words[4], isIPv4: isIPv4),
            let destination = self.node(words[3], words[5], isIPv4: isIPv4)
        else { return .invalid("a malformed PROXY line") }
        return .header(.proxied(source: source, destination: destination), length: length)
    }

    private static func node(_ address: ByteBufferView, _ port: ByteBufferView, isIPv4: Bool) -> Node? {
        // Other characters are refused, because inet_pton(3) stops at a zero byte.
        let isText = address.allSatisfy { byte in
            (0x30...0x39).contains(byte) || byte == UInt8(ascii: ".")
                || !isIPv4
                    && (byte == UInt8(ascii: ":") || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte))
        }
        guard isText, isIPv4 || address.contains(UInt8(ascii: ":")),
            let address = IPAddress(String(decoding: address, as: UTF8.self)), let port = self.port(port)
        else { return nil }
        return Node(address: address, port: port)
    }

    /// Digits alone, and no zero in front of others.
    private static func port(_ digits: ByteBufferView) -> UInt16? {
        guard digits.count == 1 || digits.first != 0x30 else { return nil }
        return String(decoding: digits, as: UTF8.self).decimal()
    }

    // MARK: - version 2

    private static func parseBinary(_ buffer: ByteBuffer) -> Parse {
        let bytes = buffer.readableBytesView
        guard bytes.prefix(self.signature.count).elementsEqual(self.signature.prefix(bytes.count)) else {
            return .invalid("not a PROXY header")
        }
        let at = buffer.readerIndex + self.signature.count
        guard let command = buffer.getInteger(at: at, as: UInt8.self) else { return .needMore }
        guard command >> 4 == 2, command & 15 <= 1 else { return .invalid("a PROXY header of an unknown kind") }
        guard let family = buffer.getInteger(at: at + 1, as: UInt8.self),
            let rest = buffer.getInteger(at: at + 2, as: UInt16.self)
        else { return .needMore }
        let length = self.signature.count + 4 + Int(rest)
        guard length <= self.longest else { return .invalid("a PROXY header that is too long") }
        let isLocal = command & 15 == 0
        let size: Int
        switch family {
        // For the proxy's own connections only the length counts.
        case _ where isLocal: size = 0
        case 0x00: size = 0
        case 0x11, 0x12: size = 12
        case 0x21, 0x22: size = 36
        case 0x31, 0x32: size = 216
        default: return .invalid("a PROXY header of an unknown family")
        }
        guard Int(rest) >= size else { return .invalid("a PROXY header without its addresses") }
        guard buffer.readableBytes >= length else { return .needMore }
        if isLocal { return .header(.local, length: length) }
        // Unix sockets and datagrams have no address of a client that has connected.
        guard family == 0x11 || family == 0x21 else { return .header(.unknown, length: length) }
        let width = family == 0x11 ? 4 : 16
        func node(_ number: Int) -> Node? {
            guard let bytes = buffer.getBytes(at: at + 4 + number * width, length: width),
                let address = IPAddress(networkOrder: bytes),
                let port = buffer.getInteger(at: at + 4 + 2 * width + 2 * number, as: UInt16.self)
            else { return nil }
            return Node(address: address, port: port)
        }
        guard let source = node(0), let destination = node(1) else { return .needMore }
        return .header(.proxied(source: source, destination: destination), length: length)
    }
}

/// Why a path is refused before it is matched.
package enum PathFault: Error, Equatable, Sendable {
    case noSlash
    case dotSegment
    case emptySegment
    case encodedSlash
    case fragment
    case badByte
    case badEncoding
    /// Servers find different routes in it.
    case ambiguous

    /// The sentence for the client.
    package var detail: String {
        switch self {
        case .noSlash: "The path does not begin with a slash."
        case .dotSegment: "The path has a dot segment."
        case .emptySegment: "The path has an empty segment."
        case .encodedSlash: "The path has a backslash, or an encoded slash."
        case .fragment: "The path has a fragment."
        case .badByte: "The path has a control character, a space, or a byte outside ASCII."
        case .badEncoding: "The path has an encoding that servers read differently (%uXXXX, overlong UTF-8)."
        case .ambiguous: "Servers read this path in different ways, and the routes differ."
        }
    }
}

/// The path of a request, in each way in which upstreams may read it. By bytes: that is how upstreams read it.
///
/// A path of letters, digits and slashes has one reading. For any other there are more: as it is written, with triplets
/// decoded once (aiohttp, most others); and as lenient servers have it, decoded until nothing changes, without the
/// parameters of segments (Jetty, Tomcat), without dots and spaces at the end of a segment (Windows), and up to a
/// decoded `?` or `#`. A decision counts only when it is the same for all of them: `/admin;x` must not pass as a path
/// of the route `/` and be served as `/admin`.
package struct RequestPath: Sendable {
    package let text: String
    /// Empty where `text` is the only reading.
    private let readings: [[UInt8]]

    package init(_ text: String) throws(PathFault) {
        let result: Result<[[UInt8]], PathFault> = text.withBytes { bytes in
            Result { () throws(PathFault) in
                if bytes.contains(where: { $0 >= 0x80 }) { throw .badByte }
                return try PathReader.readings(of: bytes)
            }
        }
        self.readings = try result.get()
        self.text = text
    }

    /// Whether `holds` is true of every reading.
    func allReadings(_ holds: (UnsafeBufferPointer<UInt8>) -> Bool) -> Bool {
        if self.readings.isEmpty { return self.text.withBytes(holds) }
        return self.readings.allSatisfy { $0.withUnsafeBufferPointer(holds) }
    }

    /// A path with one reading is of ASCII.
    var mayHaveOtherLetters: Bool { !self.readings.isEmpty }

    var readingCount: Int { max(1, self.readings.count) }

    func withReading<Result>(_ index: Int, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        self.readings.isEmpty ? self.text.withBytes(body) : self.readings[index].withUnsafeBufferPointer(body)
    }
}

/// Reads a path in the ways of ``RequestPath``. A percent sign of the path's own is kept as `%25` in what it makes.
enum PathReader {
    /// - Returns: empty where the bytes themselves are the only reading.
    static func readings(of bytes: UnsafeBufferPointer<UInt8>) throws(PathFault) -> [[UInt8]] {
        guard bytes.first == UInt8(ascii: "/") else { throw .noSlash }
        if try self.isPlain(bytes) { return [] }
        let once = try self.decoded(bytes)
        try PathFold.check(once)
        var readings = [once]
        func add(_ reading: [UInt8]) { if !readings.contains(reading) { readings.append(reading) } }
        add(try self.lenient(once))
        if String(validating: once, as: UTF8.self) == nil {
            // Jetty reads bytes that are not UTF-8 as ISO 8859-1.
            var latin: [UInt8] = []
            latin.reserveCapacity(2 * once.count)
            for byte in once {
                if byte >= 0x80 { latin.append(0xC0 | byte >> 6) }
                latin.append(byte < 0x80 ? byte : 0x80 | byte & 0x3F)
            }
            add(try self.lenient(latin))
        }
        return readings
    }

    /// Whether nothing in the path has two meanings; checks what is the same in every path.
    private static func isPlain(_ bytes: UnsafeBufferPointer<UInt8>) throws(PathFault) -> Bool {
        var isPlain = true
        var segment = 1
        for index in 1..<bytes.count + 1 {
            guard index < bytes.count, bytes[index] != UInt8(ascii: "/") else {
                try self.check(bytes[segment..<index], isLast: index == bytes.count)
                if index > segment, bytes[index - 1] == UInt8(ascii: ".") { isPlain = false }
                segment = index + 1
                continue
            }
            switch bytes[index] {
            case 0...0x20, 0x7F: throw .badByte
            case UInt8(ascii: "\\"): throw .encodedSlash
            case UInt8(ascii: "#"): throw .fragment
            case UInt8(ascii: "%"), UInt8(ascii: ";"), UInt8(ascii: "?"): isPlain = false
            // Only a prefix of the configuration has such bytes, and they are UTF-8. Requests with them are refused
            // before.
            case 0x80...: isPlain = false
            default: break
            }
        }
        return isPlain
    }

    private static func check(_ segment: Slice<UnsafeBufferPointer<UInt8>>, isLast: Bool) throws(PathFault) {
        if segment.isEmpty, !isLast { throw .emptySegment }
        if segment.count <= 2, !segment.isEmpty, segment.allSatisfy({ $0 == UInt8(ascii: ".") }) { throw .dotSegment }
    }

    /// Decodes triplets once, except those of the percent sign.
    private static func decoded(_ bytes: UnsafeBufferPointer<UInt8>) throws(PathFault) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "%") else {
                out.append(bytes[index])
                index += 1
                continue
            }
            guard let byte = PercentEncoding.byte(bytes, at: index) else {
                // `%u0061`, which IIS takes for a letter.
                let next = index + 1 < bytes.count ? bytes[index + 1].lowercased : 0
                if next == UInt8(ascii: "u"), index + 5 < bytes.count,
                    bytes[index + 2...index + 5].allSatisfy({ $0.hexValue != nil })
                {
                    throw .badEncoding
                }
                out.appendPercentSign()
                index += 1
                continue
            }
            switch byte {
            case 0..<0x20, 0x7F: throw .badByte
            case UInt8(ascii: "/"), UInt8(ascii: "\\"): throw .encodedSlash
            case UInt8(ascii: "%"): out.appendPercentSign()
            default: out.append(byte)
            }
            index += 3
        }
        if self.hasOverlongUTF8(out) { throw .badEncoding }
        return out
    }

    /// Whether a lenient decoder finds ASCII in bytes that are not UTF-8: `%C0%AF` for a slash (RFC 3629 section 10).
    private static func hasOverlongUTF8(_ bytes: [UInt8]) -> Bool {
        for index in bytes.indices.dropLast() {
            let next = bytes[index + 1]
            switch bytes[index] {
            case 0xC0, 0xC1: if (0x80...0xBF).contains(next) { return true }
            case 0xE0: if (0x80...0x9F).contains(next) { return true }
            case 0xF0: if (0x80...0x8F).contains(next) { return true }
            // Sequences of five and six bytes, which RFC 2279 had.
            case 0xF8: if (0x80...0x87).contains(next) { return true }
            case 0xFC: if (0x80...0x83).contains(next) { return true }
            default: break
            }
        }
        return false
    }

    /// Decodes text that was decoded once as the most lenient server reads it.
    private static func lenient(_ once: [UInt8]) throws(PathFault) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(once.count + 2)
        out.append(UInt8(ascii: "/"))
        // The offset in `out` at which the segment begins.
        var start = 1
        var isParameters = false
        func end(isLast: Bool) throws(PathFault) {
            // Windows takes dots and spaces off the end of a name; one of nothing else stays.
            var last = out.count
            while last > start, out[last - 1] == UInt8(ascii: ".") || out[last - 1] == UInt8(ascii: " ") { last -= 1 }
            if last > start {
                while out.count > last { out.removeLast() }
            } else if out.count == start {
                if !isLast { throw .emptySegment }
            } else if (1...2).contains(out[start...].count(where: { $0 == UInt8(ascii: ".") })) {
                throw .dotSegment
            }
            if !isLast { out.append(UInt8(ascii: "/")) }
            start = out.count
            isParameters = false
        }
        var index = 1
        while index < once.count {
            let (byte, length) = self.decodedFully(once, at: index)
            index += length
            switch byte {
            case UInt8(ascii: "/"), UInt8(ascii: "\\"):
                // Decoded within parameters it may end them or not.
                if isParameters, length > 1 { throw .encodedSlash }
                try end(isLast: false)
            case UInt8(ascii: "?"), UInt8(ascii: "#"): index = once.count
            case UInt8(ascii: ";"): isParameters = true
            case 0..<0x20, 0x7F: throw .badByte
            case _ where isParameters: break
            case UInt8(ascii: "%"): out.appendPercentSign()
            default: out.append(byte)
            }
        }
        try end(isLast: true)
        return out
    }

    /// The byte at `index` when it is decoded until nothing changes, and of how many bytes it is made. `%2525XX` is
    /// `%25XX` is `%XX`.
    private static func decodedFully(_ bytes: [UInt8], at index: Int) -> (byte: UInt8, length: Int) {
        guard bytes[index] == UInt8(ascii: "%") else { return (bytes[index], 1) }
        var end = index + 1
        // Each further `25` is one more time of encoding.
        while end + 1 < bytes.count, bytes[end] == UInt8(ascii: "2"), bytes[end + 1] == UInt8(ascii: "5") { end += 2 }
        if end + 1 < bytes.count, let high = bytes[end].hexValue, let low = bytes[end + 1].hexValue {
            return (high << 4 | low, end + 2 - index)
        }
        return (UInt8(ascii: "%"), end - index)
    }
}

extension [UInt8] {
    /// Percent-encoded.
    fileprivate mutating func appendPercentSign() {
        self.append(UInt8(ascii: "%"))
        self.append(UInt8(ascii: "2"))
        self.append(UInt8(ascii: "5"))
    }
}

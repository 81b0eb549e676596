/// Code and reason of a Close frame (RFC 6455 section 5.5.1).
package struct CloseFrame: Equatable, Sendable {
    /// Nil when the frame had no body.
    package var code: CloseCode?
    package var reason: String

    package init(code: CloseCode?, reason: String = "") {
        self.code = code
        self.reason = reason
    }

    package enum Malformed: Error, Equatable {
        /// To be answered with 1002.
        case code
        /// The reason is not UTF-8: to be answered with 1007.
        case reason
    }

    /// Reads an unmasked payload.
    package static func parse(payload: some Collection<UInt8>) throws(Malformed) -> CloseFrame {
        var iterator = payload.makeIterator()
        guard let high = iterator.next() else { return CloseFrame(code: nil) }
        guard let low = iterator.next() else { throw .code }
        let code = CloseCode(rawValue: UInt16(high) << 8 | UInt16(low))
        guard code.mayAppearOnWire else { throw .code }
        guard let reason = String(validating: payload.dropFirst(2), as: UTF8.self) else { throw .reason }
        return CloseFrame(code: code, reason: reason)
    }

    /// The unmasked payload. A code that may not be sent gives an empty body; the reason is cut at a character
    /// border to fit the 125 bytes of a control frame.
    package func payload() -> [UInt8] {
        guard let code = self.code, code.mayAppearOnWire else { return [] }
        var bytes: [UInt8] = [UInt8(truncatingIfNeeded: code.rawValue >> 8), UInt8(truncatingIfNeeded: code.rawValue)]
        for scalar in self.reason.unicodeScalars {
            let encoded = UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
            if bytes.count + encoded.count > 125 { break }
            bytes.append(contentsOf: encoded)
        }
        return bytes
    }
}

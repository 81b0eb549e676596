/// Why the end of a request's body cannot be told. Its connection takes no other request, because nothing says where
/// that would begin.
package enum FramingFault: Error, CaseIterable, Sendable {
    case codingBeforeHTTP11
    case codingAndLength
    case notChunked
    case unknownCoding
    case badLength
    /// The decoder found another end than the head tells.
    case ambiguous

    /// The status of the answer (RFC 9112 6.1 and 6.3).
    package var status: Int { self == .unknownCoding ? 501 : 400 }

    /// The sentence for the client.
    package var detail: String {
        switch self {
        case .codingBeforeHTTP11: "HTTP/1.0 has no Transfer-Encoding."
        case .codingAndLength: "The request has both Transfer-Encoding and Content-Length."
        case .notChunked: "The last transfer coding is not chunked, or chunked is there twice or has parameters."
        case .unknownCoding: "No transfer coding but chunked is understood here."
        case .badLength: "Content-Length is not one number."
        case .ambiguous: "The end of the request's body can be read in two ways."
        }
    }
}

extension RequestDelimiter.Framing {
    /// How the head of a request says that its body ends.
    ///
    /// RFC 9112 6.1 lets a server take a request with both fields, and use Transfer-Encoding. A proxy in front of the
    /// edge may have used the other field, so such a request is refused.
    ///
    /// - Parameters:
    ///   - transferEncoding: every line of the field. One without a coding is still a field.
    ///   - contentLength: every line of the field.
    package init(
        isHTTP11: Bool, transferEncoding: [String], contentLength: [String]
    ) throws(FramingFault) {
        if transferEncoding.isEmpty {
            self = try Self.length(contentLength)
            return
        }
        guard isHTTP11 else { throw .codingBeforeHTTP11 }
        guard contentLength.isEmpty else { throw .codingAndLength }
        try Self.checkChunked(transferEncoding)
        self = .chunked
    }

    private static func length(_ lines: [String]) throws(FramingFault) -> Self {
        guard let text = lines.first else { return .none }
        guard lines.count == 1, !text.isEmpty, text.utf8.allSatisfy(\.isDigit) else { throw .badLength }
        // A length that no integer holds is longer than any body that is taken.
        return .length(text.decimal(as: Int.self) ?? .max)
    }

    /// RFC 9112 6.3, 4. and 7: chunked comes last and once, and has no parameters.
    private static func checkChunked(_ lines: [String]) throws(FramingFault) {
        var chunked = 0
        var others = 0
        var isLast = false
        FieldValue.forEach(lines) { coding in
            isLast = coding.equalsIgnoringCase("chunked")
            if FieldValue.essence(of: coding).equalsIgnoringCase("chunked") { chunked += 1 } else { others += 1 }
            return chunked <= 1
        }
        guard isLast, chunked == 1 else { throw .notChunked }
        guard others == 0 else { throw .unknownCoding }
    }
}

import CulvertCore
import NIOCore
import NIOHTTP1

/// Answers to requests that no owner is asked about. The connection ends with each of them.
extension HTTPAnswer {
    static let headersTooLarge = HTTPAnswer.problem(
        431, "headers_too_large", "The request's header section is too large.")
    static let targetTooLong = HTTPAnswer.problem(414, "target_too_long", "The request's target is too long.")
    static let unknownMethod = HTTPAnswer.problem(
        501, "method_not_implemented", "This server does not support the method.")
    /// RFC 9110 15.5.16: the field tells what would be taken.
    static let encodedContent = HTTPAnswer.problem(
        415, "encoded_content", "A body with a Content-Encoding is not taken.",
        headers: ["Accept-Encoding": "identity"])

    static func unframed(_ fault: FramingFault) -> HTTPAnswer {
        .problem(fault.status, fault == .unknownCoding ? "unknown_transfer_coding" : "bad_framing", fault.detail)
    }

    /// Nil for an error that is none of the request's.
    ///
    /// - Parameters:
    ///   - error: of the decoder.
    ///   - line: of the request, as far as the decoder has it.
    ///   - headerLimit: bytes of a header section, and of a target.
    static func undecodable(_ error: any Error, line: RequestLine, headerLimit: Int) -> HTTPAnswer? {
        switch error {
        case HTTPParserError.headerOverflow where line.targetLength > headerLimit: .targetTooLong
        case HTTPParserError.headerOverflow: .headersTooLarge
        // The decoder has a list of methods, and takes everything else for a fault.
        case HTTPParserError.invalidMethod where line.hasMethod: .unknownMethod
        // Beside Transfer-Encoding, or twice.
        case HTTPParserError.unexpectedContentLength: .unframed(.ambiguous)
        // The decoder has one error for a text that is not a number and for a number that 64 bits cannot hold.
        case HTTPParserError.invalidContentLength:
            .problem(400, "bad_framing", "Content-Length is not one number of at most 64 bits.")
        // NIO has no case for Transfer-Encoding behind Content-Length, nor for chunks that do not end as they should.
        case HTTPParserError.unknown:
            .problem(400, "bad_framing", "The framing of the request does not tell where it ends.")
        case is HTTPParserError: .problem(400, "bad_request", "This is not HTTP.")
        default: nil
        }
    }
}

extension HTTPRequestHead {
    /// RFC 9110 10.1.1; HTTP/1.0 has no such thing.
    var expectsContinue: Bool {
        self.version == .http1_1 && self.headers["expect"].contains { $0.equalsIgnoringCase("100-continue") }
    }

    var framing: RequestDelimiter.Framing {
        get throws(FramingFault) {
            try RequestDelimiter.Framing(
                isHTTP11: (self.version.major, self.version.minor) >= (1, 1),
                transferEncoding: self.headers["transfer-encoding"], contentLength: self.headers["content-length"])
        }
    }

    /// The decoder may take this request for the last that is HTTP. It compares the fields in its own way, so this is
    /// true of more requests than it stops behind.
    var mayStopDecoder: Bool { self.headers.contains(name: "upgrade") }

    /// A coding other than `identity`, which is none (RFC 9110 8.4.1).
    var hasContentEncoding: Bool {
        var isEncoded = false
        FieldValue.forEach(self.headers["content-encoding"]) { coding in
            isEncoded = !coding.equalsIgnoringCase("identity")
            return !isEncoded
        }
        return isEncoded
    }
}

extension HTTPHeaders {
    /// Takes the blanks off both ends of every value: they are not part of it (RFC 9110 5.5). The decoder leaves those
    /// behind a value where they are.
    ///
    /// Every place that decodes a head calls this, so that no later code compares a value with its blanks.
    mutating func trimBlanks() {
        guard self.contains(where: { Self.hasBlanks($0.value) }) else { return }
        self = HTTPHeaders(self.map { ($0.name, String($0.value[...].trimmed)) })
    }

    private static func hasBlanks(_ value: String) -> Bool {
        value.utf8.last?.isBlank == true || value.utf8.first?.isBlank == true
    }

    /// Adds what every answer says of itself and of its connection.
    ///
    /// - Parameter isLast: the connection takes no other request.
    mutating func complete(_ answer: HTTPAnswer, isLast: Bool, date: String) {
        if answer.status.mayHaveResponseBody {
            self.replaceOrAdd(name: "Content-Length", value: "\(answer.length)")
        }
        self.addDate(date)
        // RFC 9110 7.8: what names another protocol concerns this connection alone.
        let offers = self.contains(name: "upgrade")
        if isLast || offers {
            let options = isLast ? offers ? "close, Upgrade" : "close" : "Upgrade"
            self.replaceOrAdd(name: "Connection", value: options)
        }
    }

    /// RFC 9110 6.6.1. An upstream's own date stays.
    mutating func addDate(_ date: String) {
        if !self.contains(name: "date") { self.add(name: "Date", value: date) }
    }
}

extension HTTPResponseStatus {
    /// RFC 9110 6.4.1.
    var mayHaveResponseBody: Bool { self.code >= 200 && self.code != 204 && self.code != 304 }
}

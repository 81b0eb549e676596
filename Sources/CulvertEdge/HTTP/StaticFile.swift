import CulvertCore
package import NIOCore
package import NIOHTTP1

/// A file that the edge serves to every client, without a route, an origin or a token.
package struct StaticFile: Sendable {
    /// The headers of every answer with the file.
    var headers: HTTPHeaders
    var body: ByteBuffer
    /// The same, compressed.
    var gzip: ByteBuffer?
    /// The entity tag, which tells the file from earlier ones; nil for none.
    var tag: String?

    package init(headers: HTTPHeaders, body: ByteBuffer, gzip: ByteBuffer? = nil, tag: String? = nil) {
        self.headers = headers
        self.body = body
        self.gzip = gzip
        self.tag = tag
    }

    package static func page(_ html: String) -> StaticFile {
        StaticFile(
            headers: ["Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"],
            body: ByteBuffer(string: html))
    }

    /// - Parameter headers: the request's.
    func answer(method: HTTPMethod, headers: HTTPHeaders) -> HTTPAnswer {
        guard method == .GET || method == .HEAD else {
            return .problem(
                405, "method_not_allowed", "A file takes only GET and HEAD.", headers: ["Allow": "GET, HEAD"])
        }
        var answer = HTTPAnswer(status: .ok, headers: self.headers, body: self.body)
        var tag = self.tag
        if let gzip = self.gzip {
            answer.headers.add(name: "Vary", value: "Accept-Encoding")
            if AcceptEncoding.prefersGzip(headers["accept-encoding"]) {
                answer.headers.add(name: "Content-Encoding", value: "gzip")
                answer.body = gzip
                // Other bytes have another tag (RFC 9110 8.8.3).
                tag = tag.map { $0 + "-gzip" }
            }
        }
        guard let tag else { return answer }
        answer.headers.add(name: "ETag", value: "\"\(tag)\"")
        if Self.isKnown(tag, headers["if-none-match"]) {
            // What the client has says its type and its encoding (RFC 9110 15.4.5).
            answer.status = .notModified
            answer.headers.remove(name: "Content-Type")
            answer.headers.remove(name: "Content-Encoding")
            answer.body = ByteBuffer()
        }
        return answer
    }

    /// Compared weakly (RFC 9110 13.1.2).
    private static func isKnown(_ tag: String, _ lines: [String]) -> Bool {
        let quoted = "\"\(tag)\""
        let weak = "W/" + quoted
        var isKnown = false
        FieldValue.forEach(lines) { member in
            isKnown = member.equals("*") || member.equals(quoted) || member.equals(weak)
            return !isKnown
        }
        return isKnown
    }
}

/// RFC 9110 12.5.3.
enum AcceptEncoding {
    /// Whether gzip may be sent, and is not liked less than nothing at all.
    static func prefersGzip(_ lines: [String]) -> Bool {
        // Only the names that are asked for below are kept, whatever else the client lists.
        var weights = [Int?](repeating: nil, count: self.names.count)
        FieldValue.forEach(lines) { member in
            let name = FieldValue.essence(of: member)
            if let index = self.names.firstIndex(where: { name.equalsIgnoringCase($0) }) {
                weights[index] = self.weight(member)
            }
            return true
        }
        guard let gzip = weights[0] ?? weights[1] ?? weights[2], gzip > 0 else { return false }
        return gzip >= weights[3] ?? 0
    }

    private static let names = ["gzip", "x-gzip", "*", "identity"]

    /// Gives the value of the first parameter `q` in thousandths; 1000 without it.
    private static func weight(_ member: UnsafeBufferPointer<UInt8>) -> Int {
        var rest = member[...]
        while let mark = rest.firstIndex(of: UInt8(ascii: ";")) {
            rest = rest[(mark + 1)...].drop(while: \.isBlank)
            guard rest.count >= 2, rest[rest.startIndex].lowercased == UInt8(ascii: "q"),
                rest[rest.startIndex + 1] == UInt8(ascii: "=")
            else { continue }
            let value = rest.dropFirst(2).prefix { $0 != UInt8(ascii: ";") }
            return self.thousandths(Substring(String(decoding: value, as: UTF8.self)).trimmed)
        }
        return 1000
    }

    /// A weight (RFC 9110 12.4.2) in thousandths; 0 for what is none.
    private static func thousandths(_ text: Substring) -> Int {
        let (whole, fraction) = text.split(at: UInt8(ascii: ".")) ?? (text, "")
        guard whole.utf8.count == 1, fraction.utf8.count <= 3, let whole = whole.decimal(as: Int.self), whole <= 1,
            let fraction = fraction.isEmpty
                ? 0 : (String(fraction) + String(repeating: "0", count: 3 - fraction.utf8.count)).decimal(as: Int.self)
        else { return 0 }
        return min(1000, whole * 1000 + fraction)
    }
}

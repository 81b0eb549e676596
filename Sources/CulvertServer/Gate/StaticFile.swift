import CulvertCore
package import NIOCore
package import NIOHTTP1

/// What the edge answers by itself, whoever asks: without a route, an origin or a token.
package struct StaticFile: Sendable {
    /// Those of every answer with it.
    var headers: HTTPHeaders
    var body: ByteBuffer
    /// The same, compressed.
    var gzip: ByteBuffer?
    /// What tells it from earlier ones; nil for no entity tag.
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
                405, "method_not_allowed", "This is a file, to be read only.", headers: ["Allow": "GET, HEAD"])
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
        Handshake.listTokens(lines).contains { member in
            member.equals("*") || (member.begins(with: "W/") ? member.dropping(2) : member[...]).equals("\"\(tag)\"")
        }
    }
}

/// RFC 9110 12.5.3.
enum AcceptEncoding {
    /// Whether gzip may be sent, and is not liked less than nothing at all.
    static func prefersGzip(_ lines: [String]) -> Bool {
        var weights: [String: Int] = [:]
        for member in FieldValue.list(lines) {
            let parameters = member.parts(at: UInt8(ascii: ";")).dropFirst().map { $0.trimmed.asciiLowercased }
            let weight = parameters.first { $0.begins(with: "q=") }.map { self.thousandths($0.dropping(2)) } ?? 1000
            // Only the names that are asked for below are kept, whatever else the client lists.
            let name = FieldValue.essence(member)
            if self.names.contains(bytesEqualTo: name) { weights[name] = weight }
        }
        guard let gzip = weights["gzip"] ?? weights["x-gzip"] ?? weights["*"], gzip > 0 else { return false }
        return gzip >= weights["identity"] ?? 0
    }

    private static let names = ["gzip", "x-gzip", "*", "identity"]

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

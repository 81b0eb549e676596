import NIOCore
import NIOHTTP1
import Testing

@testable import CulvertEdge

@Suite("Files that the edge serves by itself")
struct StaticFileTests {
    private static let file = StaticFile(
        headers: ["Content-Type": "text/javascript", "Cache-Control": "no-cache"], body: ByteBuffer(string: "plain"),
        gzip: ByteBuffer(string: "packed"), tag: "t")

    @Test(
        "gzip goes to who takes it (RFC 9110 12.5.3)",
        arguments: [
            ([], false), ([""], false), (["gzip"], true), (["GZIP"], true), (["x-gzip"], true), (["*"], true),
            (["deflate, gzip, br"], true), (["deflate", "gzip"], true), (["gzip;q=0.5"], true),
            (["gzip ; q=0.5"], true),
            (["gzip;q=0"], false), (["gzip;q=0, *"], false), (["*;q=0"], false), (["deflate, br"], false),
            (["identity"], false), (["identity;q=0.5, gzip;q=0.4"], false), (["identity;q=0.5, gzip;q=0.6"], true),
            (["gzip;q=x"], false), (["gzip;q=nan"], false), (["gzipped"], false),
        ])
    func encoding(lines: [String], isGzip: Bool) {
        let headers = HTTPHeaders(lines.map { ("accept-encoding", $0) })
        let answer = Self.file.answer(method: .GET, headers: headers)
        #expect(answer.status == .ok)
        #expect(String(buffer: answer.body) == (isGzip ? "packed" : "plain"))
        #expect(answer.headers["content-encoding"] == (isGzip ? ["gzip"] : []))
        #expect(answer.headers["etag"] == [isGzip ? "\"t-gzip\"" : "\"t\""])
        #expect(answer.headers["vary"] == ["Accept-Encoding"])
    }

    @Test(
        "What the client has is not sent again (RFC 9110 13.1.2)",
        arguments: [
            (["\"t\""], true), (["W/\"t\""], true), (["*"], true), (["\"a\", \"t\""], true),
            (["\"a\"", "\"t\""], true),
            (["\"a,\", W/\"t\""], true), (["\"a\""], false), (["t"], false), (["\"t-gzip\""], false), ([""], false),
            (["w/\"t\""], false), ([], false),
        ])
    func conditions(lines: [String], isKnown: Bool) {
        let headers = HTTPHeaders(lines.map { ("if-none-match", $0) })
        let answer = Self.file.answer(method: .GET, headers: headers)
        #expect(answer.status == (isKnown ? .notModified : .ok))
        #expect(answer.body.readableBytes == (isKnown ? 0 : 5))
        #expect(answer.headers["content-type"].isEmpty == isKnown)
        #expect(answer.headers["cache-control"] == ["no-cache"] && answer.headers["etag"] == ["\"t\""])
    }

    @Test("A page without a tag and a compressed form has neither")
    func page() {
        let answer = StaticFile.page("<p>").answer(
            method: .GET, headers: ["accept-encoding": "gzip", "if-none-match": "*"])
        #expect(answer.status == .ok && String(buffer: answer.body) == "<p>")
        #expect(answer.headers["etag"].isEmpty && answer.headers["vary"].isEmpty)
    }

    @Test("It is read only", arguments: [HTTPMethod.POST, .PUT, .DELETE, .OPTIONS, .RAW(value: "BREW")])
    func methods(method: HTTPMethod) {
        let answer = Self.file.answer(method: method, headers: [:])
        #expect(answer.status == .methodNotAllowed && answer.headers["allow"] == ["GET, HEAD"])
    }
}

import CulvertCore
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import CulvertEdge

@Suite("Refusals of a connection itself")
struct ConnectionRefusalTests {
    private static let long = String(repeating: "x", count: 5000)

    @Test(
        "The owner is told of every request that it was not asked about, and once",
        arguments: [
            ("GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", "400 /a"),
            ("GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501 /a"),
            ("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n", "501 /a"),
            ("BREW /a HTTP/1.1\r\nHost: a\r\n\r\n", "501 -"), ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "501 a:1"),
            ("GET /\(Self.long) HTTP/1.1\r\nHost: a\r\n\r\n", "414 -"),
            ("GET /a HTTP/1.1\r\nHost: a\r\nX: \(Self.long)\r\n\r\n", "431 -"), ("\u{16}\u{3}\u{1}\r\n", "400 -"),
        ] as [(String, String)])
    func told(request: String, refusal: String) throws {
        let fixture = try ConnectionFixture()
        fixture.receive(request)
        #expect(fixture.owner.refusals == [refusal])
        #expect(fixture.owner.exchanges.isEmpty)
        #expect(try fixture.written().contains("HTTP/1.1 \(refusal.prefix(3)) "))
        fixture.receive(request)
        #expect(fixture.owner.refusals.count == 1)
    }

    @Test(
        "What was asked for the request is told instead of the owner, once it has it",
        arguments: [
            ("Content-Length: 200\r\n\r\n", "413"), ("Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\n", "415"),
            ("Content-Length: 20\r\n\r\nslow", "408"),
        ] as [(String, String)])
    func body(rest: String, status: String) throws {
        let fixture = try ConnectionFixture()
        var told: [String] = []
        fixture.owner.onExchange = { exchange in
            exchange.onRefusal = { told.append("\($0.status.code)") }
            exchange.collectBody(limit: 100) { _ in }
        }
        fixture.receive("POST /a HTTP/1.1\r\nHost: a\r\n" + rest)
        fixture.time.advanceTime(by: .seconds(3))
        #expect(told == [status])
        #expect(fixture.owner.refusals.isEmpty)
    }
}

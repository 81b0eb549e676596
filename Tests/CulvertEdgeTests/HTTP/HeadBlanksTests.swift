import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import CulvertEdge

@Suite("Blanks at the ends of lines")
struct HeadBlanksTests {
    @Test(
        "A tab behind the value of a framing field is no part of it, wherever the packets end",
        arguments: [
            "POST /a HTTP/1.1\r\nHost: a\t\r\nContent-Length: 2\t\r\n\r\n{}",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length:\t2 \t\t \r\nX: y\t\r\n\r\n{}",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\t\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        ])
    func cuts(text: String) throws {
        let all = ByteBuffer(string: text)
        for cut in 1..<all.readableBytes {
            let fixture = try ConnectionFixture()
            var bodies: [String] = []
            fixture.owner.onExchange = { exchange in
                exchange.collectBody(limit: 100) { body in
                    bodies.append(String(buffer: body))
                    exchange.respond(HTTPAnswer(status: .ok))
                }
            }
            var rest = all
            let part = rest.readSlice(length: cut)
            let first = try #require(part)
            fixture.channel.pipeline.fireChannelRead(first)
            fixture.channel.pipeline.fireChannelRead(rest)
            #expect(bodies == ["{}"], "cut at \(cut)")
            #expect(fixture.owner.exchanges.first?.head.headers.first(name: "host") == "a")
        }
    }

    @Test("Blanks without end are refused, though the decoder does not get them", arguments: ["\t", "\t ", " \t"])
    func endless(blanks: String) throws {
        let fixture = try ConnectionFixture()
        fixture.receive("GET / HTTP/1.1\r\nHost: a\r\nX:")
        var sent = 0
        while fixture.connection.isHungry, sent < 100_000 {
            fixture.receive(blanks)
            sent += blanks.utf8.count
        }
        #expect(sent < 4096)
        #expect(try fixture.written().contains("HTTP/1.1 431 "))
    }
}

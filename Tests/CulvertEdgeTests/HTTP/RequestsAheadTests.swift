import CulvertCore
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import CulvertEdge

@Suite("Requests sent ahead of their answers")
struct RequestsAheadTests {
    /// What has a connection go on from a task of its loop.
    enum Cause: CaseIterable {
        /// The decoder is renewed behind an offer to go on with another protocol.
        case offer
        /// It is renewed behind a trailer.
        case trailer
        /// The answer comes with a task, as another loop's and that of a verification do.
        case answer
        /// The body is asked for in a task, and answered at once.
        case body

        var request: String {
            switch self {
            case .offer: "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n"
            case .trailer: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n"
            case .answer: "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
            case .body: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
            }
        }

        func fixture() throws -> ConnectionFixture {
            let fixture = try ConnectionFixture()
            let loop = fixture.channel.eventLoop
            fixture.owner.onExchange = { exchange in
                let exchange = NIOLoopBound(exchange, eventLoop: loop)
                switch self {
                case .offer, .trailer: exchange.value.respond(HTTPAnswer(status: .ok))
                case .answer: loop.execute { exchange.value.respond(HTTPAnswer(status: .ok)) }
                case .body:
                    loop.execute {
                        exchange.value.collectBody(limit: 9) { _ in exchange.value.respond(HTTPAnswer(status: .ok)) }
                    }
                }
            }
            return fixture
        }
    }

    @Test("Attack: few are begun before the sockets have a turn, however their answers come", arguments: Cause.allCases)
    func slices(cause: Cause) throws {
        let fixture = try cause.fixture()
        fixture.receive(String(repeating: cause.request, count: 200))
        // All tasks of this turn, and the tasks that they add.
        fixture.time.run()
        print("tried 200 requests ahead, \(cause): \(fixture.owner.exchanges.count) are begun in the first turn")
        #expect(fixture.owner.exchanges.count <= 4)
        fixture.time.advanceTime(by: .seconds(1))
        #expect(fixture.owner.exchanges.count == 200)
        #expect(try fixture.written().split(separator: "HTTP/1.1 200 ").count == 200)
        #expect(fixture.memory.used == 0 && fixture.wouldRead())
    }

    @Test("A client that waits for each answer has it in the turn of its request", arguments: Cause.allCases)
    func alone(cause: Cause) throws {
        let fixture = try cause.fixture()
        for count in 1...20 {
            fixture.receive(cause.request)
            fixture.time.run()
            #expect(fixture.owner.exchanges.count == count)
            #expect(try fixture.written().hasPrefix("HTTP/1.1 200 "))
            #expect(!fixture.slices.isBusy)
            #expect(fixture.wouldRead())
        }
    }

    @Test("Attack: requests ahead of an end of the client's direction wait for slices, too", arguments: Cause.allCases)
    func ended(cause: Cause) throws {
        let fixture = try cause.fixture()
        fixture.receive(String(repeating: cause.request, count: 20))
        fixture.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        fixture.time.run()
        #expect(fixture.owner.exchanges.count <= 4)
        #expect(fixture.channel.isActive)
        fixture.time.advanceTime(by: .milliseconds(100))
        #expect(fixture.owner.exchanges.count == 20)
        #expect(!fixture.channel.isActive)
    }
}

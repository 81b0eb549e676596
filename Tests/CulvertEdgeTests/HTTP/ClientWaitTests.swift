import CulvertCore
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import CulvertEdge

@Suite("The wait of a connection for its client")
struct ClientWaitTests {
    private static let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    private static func post(_ length: Int) -> String {
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(length)\r\n\r\n"
    }

    private static func answered(_ text: String) throws -> ConnectionFixture {
        let fixture = try ConnectionFixture()
        fixture.owner.onExchange = { $0.respond(HTTPAnswer(status: .ok)) }
        fixture.receive(text)
        return fixture
    }

    @Test(
        "A connection whose client owes the rest of a request waits since the answer",
        arguments: [(get + "GET / HT", "T"), (post(60_000), "x"), (post(60_000) + "some of it", "x")])
    func owes(text: String, more: String) throws {
        let fixture = try Self.answered(text)
        let since = try #require(ClientWait(of: fixture.connection)).since
        fixture.time.advanceTime(by: .seconds(1))
        fixture.receive(more)
        let later = try #require(ClientWait(of: fixture.connection))
        #expect(later.since == since && later.session == nil)
        fixture.owner.isCounted = true
        #expect(ClientWait(of: fixture.connection) == nil)
    }

    @Test("A client that has idled waits anew from the first byte of its next request on, and from no later byte")
    func nextRequest() throws {
        let fixture = try Self.answered(Self.get)
        let answered = try #require(ClientWait(of: fixture.connection)).since
        fixture.time.advanceTime(by: .seconds(4))
        #expect(ClientWait(of: fixture.connection)?.since == answered)
        fixture.receive("G")
        #expect(ClientWait(of: fixture.connection)?.since == answered + .seconds(4))
        fixture.time.advanceTime(by: .seconds(1))
        fixture.receive("ET / HT")
        #expect(ClientWait(of: fixture.connection)?.since == answered + .seconds(4))
    }

    @Test("A connection waits for nothing while the edge has the next step")
    func deciding() throws {
        let fixture = try ConnectionFixture()
        fixture.receive(Self.get)
        #expect(fixture.owner.exchanges.count == 1)
        #expect(ClientWait(of: fixture.connection) == nil)
    }

    @Test("A body that a place counts is spared; one that a session wants waits since it last went on")
    func bodies() throws {
        let id = SessionID(node: 1, shard: 0, random: (1, 2))
        for claim in [BodyClaim.unbounded, .place, .session(id)] {
            let fixture = try ConnectionFixture()
            fixture.owner.onExchange = { $0.collectBody(limit: 1000, claim: claim) { _ in } }
            fixture.receive(Self.post(1000))
            if case .place = claim {
                #expect(ClientWait(of: fixture.connection) == nil)
                continue
            }
            let since = try #require(ClientWait(of: fixture.connection)).since
            fixture.time.advanceTime(by: .seconds(1))
            fixture.receive("some of it")
            let later = try #require(ClientWait(of: fixture.connection))
            #expect(later.since == since + .seconds(1))
            if case .session = claim { #expect(later.session == id) } else { #expect(later.session == nil) }
        }
    }
}

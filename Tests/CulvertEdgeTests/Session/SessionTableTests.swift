import CulvertCore
import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

@Suite("The table of a loop's sessions")
struct SessionTableTests {
    private static let bye = CloseFrame(code: CloseCode(rawValue: 4001), reason: "bye")

    @Test("A polled session is reachable after its end, until its client has fetched it or has stayed away")
    func polled() throws {
        let fixture = try SessionFixture()
        let (table, session) = (fixture.state.sessions, fixture.session)
        #expect(table.find(session.id) === session && table.ids == [session.id] && table.open.count == 1)
        #expect(table.unended == 1 && table.present == 1)
        fixture.upstream.send(Self.bye)
        #expect(session.isEnded && table.unended == 0 && table.open.isEmpty)
        fixture.upstream.channel.close(promise: nil)
        fixture.loop.run()
        #expect(session.isGone && table.present == 0)
        #expect(table.find(session.id) === session && table.all.count == 1)
        fixture.advance(.seconds(300))
        #expect(table.find(session.id) == nil && table.all.isEmpty)
    }

    @Test("A session that is buried before its connections are gone is counted, and not found any more")
    func buried() throws {
        let fixture = try SessionFixture()
        let (table, session) = (SessionTable(), fixture.session)
        let now = fixture.loop.now
        table.add(session)
        table.ended(session)
        #expect(table.bury(session, frame: Self.bye, until: now + .seconds(5), now: now))
        #expect(!table.bury(session, frame: Self.bye, until: now + .seconds(9), now: now))
        #expect(table.find(session.id) == nil && table.all.count == 1 && table.present == 1)
        table.gone(session)
        #expect(table.all.isEmpty && table.present == 0)
    }

    @Test("A session is known to its own client at its own path, and so is its tombstone until it is forgotten")
    func known() throws {
        let fixture = try SessionFixture()
        let (table, session) = (SessionTable(), fixture.session)
        let now = fixture.loop.now
        func knows(_ subject: String?, _ path: String = "/", after time: TimeAmount = .zero) -> Bool {
            table.knows(session.id, subject: subject, basePath: path, now: now + time)
        }
        #expect(!knows("s"))
        table.add(session)
        #expect(knows("s") && !knows("t") && !knows(nil) && !knows("s", "/other"))
        #expect(table.bury(session, frame: Self.bye, until: now + .seconds(5), now: now))
        #expect(table.tombstone(session.id, now: now)?.frame == Self.bye)
        #expect(knows("s") && !knows("t") && !knows("s", "/other"))
        #expect(!knows("s", after: .seconds(5)))
    }

    @Test("Sessions are found by the tokens that changes are about")
    func tokens() throws {
        let fixture = try SessionFixture()
        let table = fixture.state.sessions
        var keyring = TokenKeyring()
        #expect(table.sessions(with: ChangedTokens([.remove(id: "b")], to: &keyring)).isEmpty)
        #expect(table.sessions(with: ChangedTokens([.remove(id: "a")], to: &keyring)).count == 1)
    }
}

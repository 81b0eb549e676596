import NIOHTTP1
import Synchronization
import Testing

@testable import CulvertAdmin
@testable import CulvertCore
@testable import CulvertEdge

/// Sessions that are not there: writes down what it is asked.
private final class RecordingDirectory: SessionDirectory {
    struct Asked: Equatable, Sendable {
        var what: String
        var filter = SessionFilter()
        var code: CloseCode?
        var reason: String?
    }

    private let all = Mutex<[Asked]>([])
    let id = SessionID(node: 1, shard: 0, random: (2, 3))

    var asked: [Asked] { self.all.withLock { $0 } }

    private func note(_ asked: Asked) { self.all.withLock { $0.append(asked) } }

    private var session: SessionInfo {
        SessionInfo(
            id: self.id.description,
            credential: SessionInfo.Credential(token: "a", tokenExpires: 1_800_000_000, subject: nil),
            client: SessionInfo.Client(address: "192.0.2.1", path: "/x", origin: "https://a.test"),
            destination: SessionInfo.Destination(route: "/x", upstream: "echo", server: "ws://s"),
            transport: .longPoll, openedAt: 0,
            counts: SessionCounts(messagesIn: 1, bytesIn: 2, messagesOut: 3, bytesOut: 4))
    }

    func list(
        _ filter: SessionFilter, after: SessionID?, limit: Int
    ) async -> (items: [SessionInfo], next: String?) {
        self.note(Asked(what: "list \(limit) after \(after?.description ?? "none")", filter: filter))
        return ([self.session], self.id.description)
    }

    func info(id: String) async -> SessionInfo? { id == self.id.description ? self.session : nil }

    func close(id: String, code: CloseCode, reason: String) async -> Bool {
        guard id == self.id.description else { return false }
        self.note(Asked(what: "close one", code: code, reason: reason))
        return true
    }

    func close(_ filter: SessionFilter, code: CloseCode, reason: String) async -> Int {
        self.note(Asked(what: "close", filter: filter, code: code, reason: reason))
        return 7
    }
}

@Suite("The admin API's sessions")
struct SessionsResourceTests {
    private let fixture: AdminFixture
    private let directory = RecordingDirectory()
    private let resource: SessionsResource

    init() throws {
        self.fixture = try AdminFixture()
        self.resource = SessionsResource(sessions: self.directory, audit: self.fixture.audit)
    }

    private func ask(_ method: HTTPMethod, _ path: String) async -> AdminAnswer {
        let request = AdminRequest.of(method, "/v1/sessions" + path)
        do throws(AdminFailure) {
            return AdminAnswer(try await self.resource.answer(request, request.rest))
        } catch {
            return AdminAnswer(error.answer)
        }
    }

    private var id: String { self.directory.id.description }

    @Test("A session is shown with what it has, and one that is not there is not found")
    func shows() async {
        let answer = await self.ask(.GET, "/\(self.id)")
        #expect(answer.outcome == "200" && answer["id"] == .string(self.id) && answer["subject"] == .null)
        #expect(answer["token_expires"] == .string("2027-01-15T08:00:00Z"))
        #expect(answer["transport"] == .string("long-poll") && answer["messages_out"] == .integer(3))
        #expect(await self.ask(.GET, "/other").outcome == "404 not_found")
        #expect(await self.ask(.DELETE, "/other").outcome == "404 not_found")
        #expect(self.directory.asked == [])
        #expect(await self.ask(.GET, "/\(self.id)/x").outcome == "404 not_found")
    }

    @Test("A list finds by everything that is given, and its cursor is that of a page")
    func lists() async {
        let query = "?token=a&subject=s%20t&route=/x&transport=websocket&address=::ffff:192.0.2.1"
        let answer = await self.ask(.GET, query + "&upstream=u&server=ws://s")
        #expect(answer.outcome == "200" && answer.ids == [self.id] && answer["next"] == .string(self.id))
        let filter = SessionFilter(
            token: "a", subject: "s t", route: "/x", transport: .webSocket, address: "192.0.2.1", upstream: "u",
            server: "ws://s")
        _ = await self.ask(.GET, "?limit=2&cursor=\(self.id)")
        #expect(
            self.directory.asked == [
                RecordingDirectory.Asked(what: "list 100 after none", filter: filter),
                RecordingDirectory.Asked(what: "list 2 after \(self.id)"),
            ])
    }

    @Test("One session, or those that match, are closed with the code and the reason that are given, and written down")
    func closes() async throws {
        #expect(await self.ask(.DELETE, "/\(self.id)").outcome == "204")
        #expect(await self.ask(.DELETE, "/\(self.id)?code=4000&reason=why").outcome == "204")
        let many = await self.ask(.DELETE, "?subject=s&route=/x&code=3000&reason=")
        #expect(many.outcome == "200" && many["closed"] == .integer(7))
        let code = CloseCode(rawValue: 4000)
        #expect(
            self.directory.asked == [
                RecordingDirectory.Asked(what: "close one", code: .goingAway, reason: "closed by the operator"),
                RecordingDirectory.Asked(what: "close one", code: code, reason: "why"),
                RecordingDirectory.Asked(
                    what: "close", filter: SessionFilter(subject: "s", route: "/x"), code: CloseCode(rawValue: 3000),
                    reason: ""),
            ])
        #expect(
            try await self.fixture.audited() == [
                "session.close | \(self.id) | code 1001, closed by the operator",
                "session.close | \(self.id) | code 4000, why", "session.close | subject=s route=/x | code 3000, ",
            ])
    }

    @Test(
        "Attack: no request closes all sessions, or sends a Close that a peer must not get",
        arguments: [
            ("", "bad_parameter"), ("?code=4000&reason=why", "bad_parameter"), ("?all=true", "unknown_parameter"),
            ("?transport=tcp", "bad_parameter"), ("?subject=s&code=1005", "bad_parameter"),
            ("?subject=s&code=999", "bad_parameter"), ("?subject=s&code=1002", "bad_parameter"),
            ("?subject=s&code=2999", "bad_parameter"), ("?subject=s&code=5000", "bad_parameter"),
            ("?subject=s&code=%2B4000", "bad_parameter"), ("?subject=s&limit=1", "unknown_parameter"),
            ("?subject=s&reason=" + String(repeating: "x", count: 124), "bad_parameter"),
        ])
    func refuses(query: String, problem: String) async throws {
        let answer = await self.ask(.DELETE, query)
        print("tried DELETE /v1/sessions\(query.prefix(40)): \(answer.outcome)")
        #expect(answer.outcome == "400 \(problem)")
        #expect(self.directory.asked == [])
        #expect(try await self.fixture.audited() == [])
    }

    @Test("What is wrong with a list is said", arguments: ["?cursor=x", "?limit=none", "?transport=tcp"])
    func refusesLists(query: String) async {
        #expect(await self.ask(.GET, query).outcome == "400 bad_parameter")
        #expect(await self.ask(.POST, query).headers["allow"] == ["GET, HEAD, DELETE"])
    }
}

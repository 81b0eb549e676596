import NIOHTTP1
import Testing

@testable import CulvertAdmin
@testable import CulvertCore

@Suite("The admin API's tokens")
struct TokensResourceTests {
    private let fixture: AdminFixture
    private let resource: TokensResource

    init() throws {
        let config = Token(id: "file", source: .config, subject: "f", routes: ["/f"])
        self.fixture = try AdminFixture(configured: [TokenEntry(token: config, secrets: [])])
        self.resource = TokensResource(desk: self.fixture.desk) { ["/"] }
    }

    @discardableResult
    private func ask(
        _ method: HTTPMethod, _ path: String, _ body: String = "", headers: HTTPHeaders = [:]
    ) async -> AdminAnswer {
        let request = AdminRequest.of(method, "/v1/tokens" + path, body, headers: headers)
        do throws(AdminFailure) {
            return AdminAnswer(try await self.resource.answer(request, request.rest))
        } catch {
            return AdminAnswer(error.answer)
        }
    }

    private static let whole = """
        { "id": "a", "subject": "s", "routes": ["/x"], "origins": ["https://a.test"],
          "not_before": "2027-01-01T00:00:00Z", "expires": "2028-01-01T00:00:00Z",
          "limits": { "sessions": 2, "messages_per_second": 3 }, "note": "n" }
        """

    @Test("A token is minted, shown without its secret, rotated, revoked and deleted, and each is written down")
    func life() async throws {
        let minted = await self.ask(.POST, "", Self.whole)
        #expect(minted.outcome == "201" && minted.headers["location"] == ["/v1/tokens/a"])
        let secret = try #require(minted.text("secret"))
        #expect(minted["source"] == .string("store") && minted["created_at"] == .string("2027-01-15T08:00:00Z"))
        let shown = await self.ask(.GET, "/a")
        #expect(shown.outcome == "200" && shown["secret"] == nil)
        #expect(shown.members.filter { !["secret", "warnings"].contains($0.key) } == minted.members.filter { !["secret", "warnings"].contains($0.key) })
        let rotated = await self.ask(.POST, "/a/rotate", "{ \"overlap\": \"60s\" }")
        let second = try #require(rotated.text("secret"))
        #expect(rotated.outcome == "200" && second != secret)
        #expect(
            rotated["secrets"]
                == .array([
                    .object(["generation": .integer(1), "until": .string("2027-01-15T08:01:00Z")]),
                    .object(["generation": .integer(2), "until": .null]),
                ]))
        let revoked = await self.ask(.POST, "/a/revoke", "{ \"reason\": \"lost\" }")
        #expect(revoked.outcome == "200" && revoked["revoked_reason"] == .string("lost"))
        #expect(await self.ask(.POST, "/a/rotate").outcome == "409 conflict")
        #expect(await self.ask(.DELETE, "/a").outcome == "204")
        #expect(await self.ask(.GET, "/a").outcome == "404 not_found")
        #expect(
            try await self.fixture.audited() == [
                "token.mint | a", "token.rotate | a | overlap 60s", "token.revoke | a | lost", "token.delete | a",
            ])
    }

    /// What a member was in ``whole``.
    private static let before: [String: JSONValue] = [
        "origins": .array([.string("https://a.test")]), "not_before": .string("2027-01-01T00:00:00Z"),
        "expires": .string("2028-01-01T00:00:00Z"), "routes": .array([.string("/x")]), "note": .string("n"),
        "limits": .object(["sessions": .integer(2), "messages_per_second": .integer(3)]),
    ]

    private static let unlimited = JSONValue.object(["sessions": .null, "messages_per_second": .null])

    @Test(
        "A patch sets what it names, takes away what it names as null, and leaves the rest",
        arguments: [
            ("{}", [:]),
            ("{ \"expires\": null }", ["expires": .null]),
            ("{ \"not_before\": null }", ["not_before": .null]),
            ("{ \"origins\": null }", ["origins": .null]),
            ("{ \"note\": null }", ["note": .string("")]),
            ("{ \"limits\": null }", ["limits": unlimited]),
            (
                "{ \"limits\": { \"sessions\": null } }",
                ["limits": .object(["sessions": .null, "messages_per_second": .integer(3)])]
            ),
            ("{ \"limits\": { \"sessions\": null, \"messages_per_second\": null } }", ["limits": unlimited]),
            ("{ \"limits\": {} }", [:]),
            ("{ \"expires\": \"2029-01-01T01:00:00+01:00\" }", ["expires": .string("2029-01-01T00:00:00Z")]),
            (
                "{ \"routes\": [\"/y\", \"/z\"], \"note\": \"m\" }",
                ["routes": .array([.string("/y"), .string("/z")]), "note": .string("m")]
            ),
        ] as [(String, [String: JSONValue])])
    func patches(body: String, changes: [String: JSONValue]) async {
        await self.ask(.POST, "", Self.whole)
        let patched = await self.ask(.PATCH, "/a", body)
        #expect(patched.outcome == "200")
        let expected = Self.before.merging(changes) { $1 }
        #expect(patched.members.filter { expected[$0.key] != nil } == expected)
        // What the answer says is what is written.
        #expect(await self.ask(.GET, "/a").members == patched.members)
    }

    @Test(
        "What is wrong with a request is said, with the member where it is one, and nothing changes",
        arguments: [
            (.POST, "", "{ \"subject\": \"s\" }", "400 invalid_request", ["/routes"]),
            (
                .POST, "", "{ \"subject\": \"s\", \"routes\": [1, \"/\", null] }", "400 invalid_request",
                ["/routes/0", "/routes/2"]
            ),
            (
                .POST, "", "{ \"subject\": 1, \"routes\": 1, \"id\": null, \"x/y\": 0 }", "400 invalid_request",
                ["/x~1y", "/subject", "/routes"]
            ),
            (.POST, "", "{ \"subject\": \"s \", \"routes\": [\"/\"] }", "400 invalid_request", ["/subject"]),
            (.POST, "", "{ \"subject\": \"s\", \"routes\": [\"x\"] }", "400 invalid_request", ["/routes/0"]),
            (
                .POST, "", "{ \"subject\": \"s\", \"routes\": [\"/\"], \"limits\": { \"sessions\": 0 } }",
                "400 invalid_request", ["/limits/sessions"]
            ),
            (
                .POST, "", "{ \"subject\": \"s\", \"routes\": [\"/\"], \"limits\": { \"x\": 0 } }",
                "400 invalid_request", ["/limits/x"]
            ),
            (
                .POST, "", "{ \"subject\": \"s\", \"routes\": [\"/\"], \"expires\": \"2027-01-15T08:00:00Z\" }",
                "400 invalid_request", ["/expires"]
            ),
            (.POST, "", "{ \"id\": \"b\", \"id\": \"c\" }", "400 bad_json", []),
            (.POST, "", "[]", "400 bad_json", []), (.POST, "", "", "415 unsupported_media_type", []),
            (.POST, "?x=1", "{}", "400 unknown_parameter", []),
            (
                .POST, "", "{ \"id\": \"file\", \"subject\": \"s\", \"routes\": [\"/\"] }", "409 conflict", []
            ),
            (.PATCH, "/a", "{ \"subject\": \"t\" }", "400 invalid_request", ["/subject"]),
            (.PATCH, "/a", "{ \"routes\": null }", "400 invalid_request", ["/routes"]),
            (.PATCH, "/a", "{ \"expires\": \"2026-01-01T00:00:00Z\" }", "400 invalid_request", ["/expires"]),
            (.PATCH, "/b", "{}", "404 not_found", []), (.PATCH, "/file", "{}", "409 read_only", []),
            (.DELETE, "/file", "", "409 read_only", []), (.DELETE, "/b", "", "404 not_found", []),
            (.DELETE, "", "", "405 method_not_allowed", []), (.PUT, "/a", "{}", "405 method_not_allowed", []),
            (.GET, "/a/rotate", "", "405 method_not_allowed", []),
            (.POST, "/a/rotate", "{ \"overlap\": \"1\" }", "400 invalid_request", ["/overlap"]),
            (.POST, "/a/rotate", "{ \"overlap\": \"9000h\" }", "400 invalid_request", ["/overlap"]),
            (.POST, "/a/other", "", "404 not_found", []), (.GET, "/a/b/c", "", "404 not_found", []),
            (.GET, "?limit=0", "", "400 bad_parameter", []), (.GET, "?limit=1001", "", "400 bad_parameter", []),
            (.GET, "?revoked=yes", "", "400 bad_parameter", []), (.GET, "/a?x=1", "", "400 unknown_parameter", []),
        ] as [(HTTPMethod, String, String, String, [String])])
    func refusals(method: HTTPMethod, path: String, body: String, outcome: String, pointers: [String]) async throws {
        let before = await self.ask(.POST, "", Self.whole)
        let answer = await self.ask(method, path, body)
        #expect(answer.outcome == outcome && answer.pointers == pointers)
        let after = await self.ask(.GET, "/a")
        #expect(after.members == before.members.filter { !["secret", "warnings"].contains($0.key) })
        #expect(try await self.fixture.audited() == ["token.mint | a"])
    }

    @Test("A method that a path does not have is told which it has")
    func allowed() async {
        #expect(await self.ask(.PUT, "").headers["allow"] == ["GET, HEAD, POST"])
        #expect(await self.ask(.PUT, "/a").headers["allow"] == ["GET, HEAD, PATCH, DELETE"])
        #expect(await self.ask(.PUT, "/a/revoke").headers["allow"] == ["POST"])
    }

    @Test("A list has pages of the size that is asked for, and finds by subject and by revocation")
    func lists() async {
        for (id, subject) in [("z", "s"), ("b", "s"), ("c", "f")] {
            let body = "{ \"id\": \"\(id)\", \"subject\": \"\(subject)\", \"routes\": [\"/\"] }"
            #expect(await self.ask(.POST, "", body).outcome == "201")
        }
        let first = await self.ask(.GET, "?limit=2")
        #expect(first.ids == ["b", "c"] && first["next"] == .string("c"))
        let second = await self.ask(.GET, "?limit=2&cursor=c")
        #expect(second.ids == ["file", "z"] && second["next"] == .null)
        #expect(await self.ask(.GET, "?subject=f").ids == ["c", "file"])
        await self.ask(.POST, "/b/revoke")
        #expect(await self.ask(.GET, "?revoked=true").ids == ["b"])
        #expect(await self.ask(.GET, "?revoked=false").ids == ["c", "file", "z"])
    }

    @Test("A request that is sent again with its idempotency key has the same answer, and another one is refused")
    func repeats() async {
        let body = "{ \"subject\": \"s\", \"routes\": [\"/\"] }"
        let first = await self.ask(.POST, "", body, headers: ["Idempotency-Key": "k"])
        let again = await self.ask(.POST, "", body, headers: ["Idempotency-Key": "k"])
        #expect(first.outcome == "201" && first.members == again.members)
        let other = await self.ask(
            .POST, "", "{ \"subject\": \"t\", \"routes\": [\"/\"] }", headers: ["Idempotency-Key": "k"])
        #expect(other.outcome == "409 conflict")
        let long = await self.ask(
            .POST, "", body, headers: ["Idempotency-Key": String(repeating: "k", count: 256)])
        #expect(long.outcome == "400 bad_idempotency_key")
        #expect(await self.ask(.GET, "").ids.count == 2)
    }
}

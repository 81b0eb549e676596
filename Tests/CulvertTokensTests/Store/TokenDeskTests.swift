import CulvertCore
import CulvertSystem
import Foundation
import GRDB
import Logging
import Synchronization
import Testing

@testable import CulvertTokens

/// A desk over a database in a folder of its own.
private final class DeskFixture: Sendable {
    let folder: URL
    let published = Mutex<[TokenChange]>([])
    let clock = Mutex<Int64>(1_800_000_000)
    static let caller = AdminCaller(name: "admin", address: "127.0.0.1")
    static let request = TokenRequest(subject: "s", routes: ["/"])

    init() throws {
        self.folder = FileManager.default.temporaryDirectory.appending(path: "culvert-\(UUID())")
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: self.folder) }

    var path: String { self.folder.appending(path: "culvert.db").path }

    func desk(configured: [TokenEntry] = [], notices: Notices? = nil) throws -> TokenDesk {
        let store = try TokenStore(path: self.path)
        return TokenDesk(
            store: store, configured: ConfiguredTokens(configured), entries: try store.entries(),
            publish: { [self] changes in
                self.published.withLock { $0 += changes }
                return {}
            }, notices: notices, now: { [self] in self.clock.withLock { $0 } })
    }

    /// What an event loop knows after all that was published.
    func verify(_ secret: String) -> TokenFault? {
        var keyring = TokenKeyring()
        for change in self.published.withLock({ $0 }) { keyring.apply(change) }
        guard let credential = keyring.credential(for: secret) else { return .unknown }
        return keyring.fault(of: credential, now: self.clock.withLock { $0 })
    }
}

/// Hands each line on as a text.
private struct KeptLines: LogHandler {
    let keep: @Sendable (String) -> Void
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    init(_ keep: @escaping @Sendable (String) -> Void) { self.keep = keep }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(
        level: Logger.Level, message: Logger.Message, metadata: Logger.Metadata?, source: String, file: String,
        function: String, line: UInt
    ) { self.keep("\(message) \(metadata ?? [:])") }
}

@Suite("Token desk")
struct TokenDeskTests {
    private static let caller = DeskFixture.caller

    @Test("The log has a failure of the database with its reason, once for many")
    func failures() async throws {
        let fixture = try DeskFixture()
        let lines = Mutex<[String]>([])
        var logger = Logger(label: "test") { _ in KeptLines { line in lines.withLock { $0.append(line) } } }
        logger.logLevel = .warning
        let desk = try fixture.desk(notices: Notices(logger: logger))
        let other = try DatabaseQueue(path: fixture.path)
        try await other.write { try $0.execute(sql: "DROP TABLE audit") }
        for _ in 0..<3 {
            await #expect(throws: DeskError.failed) {
                try await desk.note("drain", "process", detail: "", by: Self.caller)
            }
        }
        let found = lines.withLock(\.self)
        #expect(found.count == 1 && found.first?.contains("the database failed") == true, "\(found)")
        #expect(found.first?.contains("culvert.db: no such table") == true && found.first?.contains("times") == true)
    }

    @Test("A rotated secret lasts for the overlap, then only the new one does")
    func rotation() async throws {
        let fixture = try DeskFixture()
        let desk = try fixture.desk()
        let old = try await desk.mint(DeskFixture.request, idempotencyKey: nil, by: Self.caller)
        let id = old.stored.token.id
        let new = try await desk.rotate(id: id, overlap: 60, idempotencyKey: nil, by: Self.caller)
        #expect(fixture.verify(old.secret) == nil && fixture.verify(new.secret) == nil)
        fixture.clock.withLock { $0 += 59 }
        #expect(fixture.verify(old.secret) == nil)
        fixture.clock.withLock { $0 += 1 }
        #expect(fixture.verify(old.secret) == .rotated && fixture.verify(new.secret) == nil)
        let third = try await desk.rotate(id: id, overlap: 0, idempotencyKey: nil, by: Self.caller)
        #expect(third.stored.secrets.map(\.generation) == [2, 3])
        #expect(fixture.verify(old.secret) == .unknown && fixture.verify(new.secret) == .rotated)
        #expect(fixture.verify(third.secret) == nil)
    }

    @Test("A second rotation never makes an old secret last longer")
    func overlaps() async throws {
        let fixture = try DeskFixture()
        let desk = try fixture.desk()
        let first = try await desk.mint(DeskFixture.request, idempotencyKey: nil, by: Self.caller)
        let id = first.stored.token.id
        _ = try await desk.rotate(id: id, overlap: 10, idempotencyKey: nil, by: Self.caller)
        let third = try await desk.rotate(id: id, overlap: 1000, idempotencyKey: nil, by: Self.caller)
        let now = fixture.clock.withLock { $0 }
        #expect(third.stored.secrets.map(\.until) == [now + 10, now + 1000, nil])
    }

    @Test("A token that has ended already is not minted, and a repeated request has its answer after the end")
    func mintsNothingThatHasEnded() async throws {
        let fixture = try DeskFixture()
        let desk = try fixture.desk()
        let now = fixture.clock.withLock { $0 }
        let ended = TokenRequest(subject: "s", routes: ["/"], expires: now)
        let refusal = await #expect(throws: DeskError.self) {
            try await desk.mint(ended, idempotencyKey: nil, by: DeskFixture.caller)
        }
        guard case .invalid(member: "/expires", _)? = refusal else {
            Issue.record("\(String(describing: refusal))")
            return
        }
        let short = TokenRequest(subject: "s", routes: ["/"], expires: now + 5)
        let first = try await desk.mint(short, idempotencyKey: "k", by: DeskFixture.caller)
        fixture.clock.withLock { $0 += 10 }
        let again = try await desk.mint(short, idempotencyKey: "k", by: DeskFixture.caller)
        #expect(again.secret == first.secret)
    }

    @Test("What a new desk reads is what the old one wrote")
    func reopening() async throws {
        let fixture = try DeskFixture()
        let desk = try fixture.desk()
        let request = TokenRequest(
            id: "a", subject: "s", routes: ["/a", "/b"], origins: ["https://*.a.example"], notBefore: 1,
            expires: 1_900_000_000, sessions: 2, messagesPerSecond: 3, note: "\"n\"")
        _ = try await desk.mint(request, idempotencyKey: nil, by: Self.caller)
        _ = try await desk.rotate(id: "a", overlap: 60, idempotencyKey: nil, by: Self.caller)
        let written = try await desk.revoke(id: "a", reason: "why", by: Self.caller)
        let read = try await fixture.desk().token(id: "a")
        #expect(read == written)
        #expect(read.token.limits == TokenLimits(sessions: 2, messagesPerSecond: 3))
        #expect(read.token.origins == [try #require(OriginPattern("https://*.a.example"))])
    }

    @Test("A changed token keeps the count of its sessions")
    func use() async throws {
        let fixture = try DeskFixture()
        let desk = try fixture.desk()
        let minted = try await desk.mint(DeskFixture.request, idempotencyKey: nil, by: Self.caller)
        _ = try await desk.rotate(id: minted.stored.token.id, overlap: 0, idempotencyKey: nil, by: Self.caller)
        let entries = fixture.published.withLock { changes in
            changes.compactMap { if case .put(let entry) = $0 { entry } else { nil } }
        }
        #expect(entries.count == 2 && entries[0].use === entries[1].use)
    }

    @Test("Listing goes through all tokens by id, those of the file among them")
    func listing() async throws {
        let fixture = try DeskFixture()
        let config = TokenEntry(token: Token(id: "m", source: .config, subject: "c", routes: ["/"]), secrets: [])
        let desk = try fixture.desk(configured: [config])
        for id in ["z", "a", "n", "B"] {
            let request = TokenRequest(id: id, subject: id == "n" ? "c" : "s", routes: ["/"])
            _ = try await desk.mint(request, idempotencyKey: nil, by: Self.caller)
        }
        var seen: [String] = []
        var cursor: String?
        repeat {
            let page = try await desk.list(after: cursor, limit: 2)
            #expect(page.items.count <= 2)
            seen += page.items.map(\.token.id)
            cursor = page.next
        } while cursor != nil
        #expect(seen == ["B", "a", "m", "n", "z"])
        #expect(try await desk.list(after: nil, limit: 10, subject: "c").items.map(\.token.id) == ["m", "n"])
        _ = try await desk.revoke(id: "n", reason: nil, by: Self.caller)
        #expect(try await desk.list(after: nil, limit: 10, revoked: true).items.map(\.token.id) == ["n"])
    }

    @Test("What cannot be done is said, and changes nothing")
    func refusals() async throws {
        let fixture = try DeskFixture()
        let desk = try fixture.desk()
        var request = DeskFixture.request
        request.id = "a"
        _ = try await desk.mint(request, idempotencyKey: nil, by: Self.caller)
        let sofar = fixture.published.withLock { $0.count }
        await #expect(throws: DeskError.conflict("another token has the id \"a\"")) {
            try await desk.mint(request, idempotencyKey: nil, by: Self.caller)
        }
        await #expect(throws: DeskError.notFound("token \"b\"")) {
            try await desk.rotate(id: "b", overlap: 0, idempotencyKey: nil, by: Self.caller)
        }
        await #expect(throws: DeskError.self) {
            try await desk.rotate(id: "a", overlap: -1, idempotencyKey: nil, by: Self.caller)
        }
        #expect(fixture.published.withLock { $0.count } == sofar)
        #expect(try await desk.audit(before: nil, limit: 10).items.map(\.action) == ["token.mint"])
    }

    @Test("A later revocation of the same gives nothing back, in the database or on the loops")
    func weakerRevocations() async throws {
        let fixture = try DeskFixture()
        let desk = try fixture.desk()
        let now = fixture.clock.withLock { $0 }
        for target in [JWTRevocation.Target.subject("s"), .id("j")] {
            let strong = JWTRevocation(target: target, before: now, until: now + 900)
            let weak = JWTRevocation(target: target, before: now - 100, until: now + 5)
            #expect(try await desk.revokeJWT(strong, by: Self.caller) == strong)
            #expect(try await desk.revokeJWT(weak, by: Self.caller) == strong)
        }
        #expect(try await desk.jwtRevocations().allSatisfy { $0.before == now && $0.until == now + 900 })
        let published = fixture.published.withLock { $0 }
        for case .revokeJWT(let revocation) in published {
            #expect(revocation.before == now && revocation.until == now + 900)
        }
        // Once it is taken back, and said so, a new one begins anew.
        try await desk.removeJWTRevocation(.id("j"), by: Self.caller)
        let again = JWTRevocation(target: .id("j"), before: 0, until: now + 5)
        #expect(try await desk.revokeJWT(again, by: Self.caller) == again)
    }

    @Test("A revocation of JWTs is forgotten when what it is about has expired")
    func forgetting() async throws {
        let fixture = try DeskFixture()
        let desk = try fixture.desk()
        let now = fixture.clock.withLock { $0 }
        try await desk.revokeJWT(JWTRevocation(target: .id("j"), before: 0, until: now + 10), by: Self.caller)
        try await desk.revokeJWT(JWTRevocation(target: .subject("s"), before: now, until: now + 20), by: Self.caller)
        // A session may live by an expired token for as long as the longest grace.
        fixture.clock.withLock { $0 += 20 }
        try await desk.forgetExpired()
        #expect(try await desk.jwtRevocations().count == 2)
        fixture.clock.withLock { $0 += 24 * 3600 - 10 }
        try await desk.forgetExpired()
        #expect(try await desk.jwtRevocations().map(\.target) == [.subject("s")])
    }

    @Test("The audit log takes no change, from whatever hand")
    func audit() async throws {
        let fixture = try DeskFixture()
        let desk = try fixture.desk()
        let other = try TokenStore(path: fixture.path)
        _ = try await desk.mint(DeskFixture.request, idempotencyKey: nil, by: Self.caller)
        let row = "(id, at, actor, address, action, target, detail)"
        for sql in [
            "UPDATE audit SET actor = 'x'", "DELETE FROM audit", "UPDATE OR REPLACE audit SET id = 7",
            "REPLACE INTO audit \(row) VALUES (1, 0, 'x', '', '', '', '')",
            "INSERT OR REPLACE INTO audit \(row) SELECT id, at, 'x', address, action, target, detail FROM audit",
            "INSERT INTO audit \(row) VALUES (1, 0, 'x', '', '', '', '') ON CONFLICT (id) DO UPDATE SET actor = 'x'",
            "INSERT INTO audit \(row) VALUES (0, 0, 'x', '', '', '', '')",
            "INSERT INTO audit \(row) VALUES (-1, 0, 'x', '', '', '', '')",
        ] {
            print("tried \(sql)")
            #expect(throws: StoreError.self, "\(sql)") { try other.write { try $0.execute(sql: sql) } }
        }
        _ = try await desk.mint(DeskFixture.request, idempotencyKey: nil, by: Self.caller)
        let items = try await desk.audit(before: nil, limit: 10).items
        #expect(items.map(\.id) == [2, 1] && items.allSatisfy { $0.caller == Self.caller })
    }

    @Test("Only the secret's digest is in the files, and they are their owner's")
    func files() async throws {
        let fixture = try DeskFixture()
        let desk = try fixture.desk()
        let minted = try await desk.mint(DeskFixture.request, idempotencyKey: "k", by: Self.caller)
        let names = try FileManager.default.contentsOfDirectory(atPath: fixture.folder.path)
        #expect(names.sorted() == ["culvert.db", "culvert.db-shm", "culvert.db-wal"])
        for name in names {
            let path = fixture.folder.appending(path: name)
            let mode = try FileManager.default.attributesOfItem(atPath: path.path)[.posixPermissions] as? NSNumber
            #expect(mode?.intValue == 0o600)
            #expect(try Data(contentsOf: path).firstRange(of: Data(minted.secret.utf8)) == nil)
        }
    }
}

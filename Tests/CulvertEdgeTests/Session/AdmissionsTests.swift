import CulvertConfig
import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertCore
@testable import CulvertEdge

@Suite("What is open in the process, and its limits")
struct AdmissionsTests {
    /// Counts of their own, under the rules of a configuration.
    private struct Fixture {
        let ground: SessionGround
        let admissions = Admissions()
        /// Later than whatever time it is, so that no bucket fills meanwhile.
        let now = NIODeadline.now() + .hours(1)

        /// - Parameter limits: in the configuration.
        init(_ limits: String) throws { self.ground = try SessionGround("limits: { \(limits) }") }

        var limits: LimitsConfig { self.ground.state.rules.config.limits }

        func open(
            _ credential: Credential? = nil, connection: ConnectionPlace? = nil
        ) throws(AdmissionDenial) -> SessionPlace {
            let admission = Admission(
                route: self.ground.facts.route, credential: credential ?? AdmissionsTests.credential("a"),
                forwardCookies: [], forwardProtocols: [], answersAuthProtocol: false)
            return try self.admissions.open(
                admission, address: "192.0.2.1", connection: connection, limits: self.limits, now: self.now)
        }

        func accept() -> ConnectionPlace? {
            self.admissions.accept(peer: "192.0.2.1", rules: self.ground.state.rules)
        }
    }

    private static func credential(_ id: String, sessions: Int? = nil) -> Credential {
        let token = Token(
            id: id, source: .store, subject: "s", routes: ["/"], limits: TokenLimits(sessions: sessions))
        return Credential(entry: TokenEntry(token: token, secrets: []), generation: 1)
    }

    @Test(
        "Each limit refuses what is beyond it and says whose it is; what was refused or given back counts nowhere",
        arguments: [
            ("address: { sessions: 1 }", .address, .sessions), ("token: { sessions: 1 }", .token, .sessions),
            ("route: { sessions: 1 }", .route, .sessions), ("connections: 1", .process, .sessions),
            ("address: { handshakes: 1 }", .address, .handshakes), ("token: { handshakes: 1 }", .token, .handshakes),
            ("route: { handshakes: 1 }", .route, .handshakes), ("process: { handshakes: 1 }", .process, .handshakes),
        ] as [(String, AdmissionScope, AdmissionLimit)])
    func limits(key: String, scope: AdmissionScope, limit: AdmissionLimit) throws {
        let fixture = try Fixture(key)
        let admissions = fixture.admissions
        let first = try fixture.open()
        #expect(throws: AdmissionDenial(scope: scope, limit: limit)) { _ = try fixture.open() }
        #expect(admissions.openSessions == 1 && admissions.handshakes == 1)
        #expect(admissions.denied(scope, limit) == 1)
        // Its upstream has not answered.
        first.release()
        #expect(admissions.openSessions == 0 && admissions.handshakes == 0)
        #expect(admissions.trackedAddresses == 0 && admissions.trackedTokens == 0)
        let second = try fixture.open()
        second.answered()
        #expect(admissions.openSessions == 1 && admissions.handshakes == 0)
        let isAnotherOpened = (try? fixture.open()) != nil
        #expect(isAnotherOpened == (limit == .handshakes))
        second.release()
        #expect(admissions.openSessions == 0)
    }

    @Test("An opening that another scope refuses takes nothing of a rate")
    func undo() throws {
        let fixture = try Fixture("connections: 1, address: { rate: 1, burst: 2 }, token: { rate: 1, burst: 2 }")
        let place = try fixture.open()
        for _ in 0..<5 {
            #expect(throws: AdmissionDenial(scope: .process, limit: .sessions)) { _ = try fixture.open() }
        }
        place.release()
        let last = try fixture.open()
        last.release()
        #expect(throws: AdmissionDenial(scope: .address, limit: .rate, wait: .seconds(1))) { _ = try fixture.open() }
    }

    @Test("A connection is one handshake, with the session that it asks for, until the upstream has answered")
    func connection() throws {
        let fixture = try Fixture("process: { handshakes: 1 }, address: { handshakes: 1 }")
        let admissions = fixture.admissions
        do {
            let connection = try #require(fixture.accept())
            #expect(fixture.accept() == nil && admissions.denied(.process, .handshakes) == 1)
            let place = try fixture.open(connection: connection)
            #expect(admissions.handshakes == 1)
            place.answered()
            #expect(admissions.handshakes == 0 && admissions.openSessions == 1)
            #expect(fixture.accept() != nil)
            withExtendedLifetime((connection, place)) {}
        }
        // Nobody holds a place any more.
        #expect(admissions.handshakes == 0 && admissions.openSessions == 0 && admissions.trackedAddresses == 0)
    }

    @Test(
        "A session moves to another token only where that has a place, and keeps its own until then",
        arguments: [("connections: 9", 1), ("token: { sessions: 1 }", nil)] as [(String, Int?)])
    func move(limits: String, own: Int?) throws {
        let fixture = try Fixture(limits)
        let (old, new) = (Self.credential("a"), Self.credential("b", sessions: own))
        let (place, other) = (try fixture.open(old), try fixture.open(new))
        // A session begins when its upstream has answered.
        place.answered()
        other.answered()
        #expect(throws: AdmissionDenial(scope: .token, limit: .sessions)) {
            try place.move(to: new, limits: fixture.limits)
        }
        #expect(old.entry.use.openSessions == 1 && new.entry.use.openSessions == 1)
        other.release()
        #expect(new.entry.use.openSessions == 0)
        try place.move(to: new, limits: fixture.limits)
        #expect(old.entry.use.openSessions == 0 && new.entry.use.openSessions == 1)
        // A later secret of the same token finds the place as it is.
        try place.move(to: Credential(entry: new.entry, generation: 2), limits: fixture.limits)
        #expect(new.entry.use.openSessions == 1)
        place.release()
        place.release()
        #expect(new.entry.use.openSessions == 0 && fixture.admissions.trackedTokens == 0)
    }
}

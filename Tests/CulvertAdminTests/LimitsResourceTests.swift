import CulvertConfig
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import CulvertAdmin
@testable import CulvertCore
@testable import CulvertEdge

@Suite("The admin API's limits")
struct LimitsResourceTests {
    private static let config = """
        limits:
          connections: 9
          address: { sessions: 1 }
          route: { rate: 5 }
          http: { parked: 2, idle: 1500ms }
        """

    private static func ask(_ ground: EdgeFixture, _ method: HTTPMethod, _ target: String) -> AdminAnswer {
        do throws(AdminFailure) {
            let limits = EdgeLimits(edge: ground.edge)
            return AdminAnswer(try LimitsResource(limits: limits).answer(AdminRequest.of(method, target)))
        } catch {
            return AdminAnswer(error.answer)
        }
    }

    @Test("It shows the limits in force, what is open under them, and how often each has refused")
    func shows() throws {
        let ground = try EdgeFixture(Self.config)
        for _ in 0..<3 {
            #expect(throws: AdmissionDenial(scope: .address, limit: .sessions)) {
                _ = try ground.edge.admissions.open(
                    ground.admission, address: "192.0.2.1", connection: nil, limits: ground.edge.rules.config.limits,
                    now: ground.loop.now)
            }
        }
        ground.edge.admissions.parked()
        ground.edge.admissions.parked()
        #expect(!ground.edge.admissions.mayPark(limit: 2))
        let answer = Self.ask(ground, .GET, "/v1/limits")
        #expect(answer.outcome == "200")
        let counts = ["sessions", "handshakes", "parked", "connections", "addresses"].map { answer[$0] }
        #expect(counts == [.integer(1), .integer(1), .integer(2), .integer(0), .integer(1)])
        let inForce = answer.object("limits")
        #expect(
            inForce["address"]
                == .object(["sessions": .integer(1), "rate": .null, "burst": .null, "handshakes": .null]))
        guard case .object(let process)? = inForce["process"], case .object(let http)? = inForce["http"],
            case .object(let address)? = answer.object("denials")["address"],
            case .object(let polls)? = answer.object("denials")["http"]
        else {
            Issue.record("\(answer.members)")
            return
        }
        #expect(process["sessions"] == .integer(9))
        #expect(http["parked"] == .integer(2) && http["idle"] == .number(1.5))
        #expect(address == ["sessions": .integer(3), "rate": .integer(0), "handshakes": .integer(0)])
        #expect(polls == ["parked": .integer(1)])
        withExtendedLifetime(ground) {}
    }

    @Test("It is read alone, and takes no parameters")
    func refuses() throws {
        let ground = try EdgeFixture()
        #expect(Self.ask(ground, .HEAD, "/v1/limits").outcome == "200")
        #expect(Self.ask(ground, .POST, "/v1/limits").outcome == "405 method_not_allowed")
        #expect(Self.ask(ground, .GET, "/v1/limits?x=1").outcome == "400 unknown_parameter")
    }
}

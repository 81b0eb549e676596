import CulvertCore
import NIOCore
import Testing

@Suite("Ejection")
struct EjectionTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private static let policy = EjectionPolicy(
        failures: 3, time: .seconds(10), longest: .seconds(35), slowStart: .seconds(20))

    @Test("It takes failures in a row, and the last of them ejects")
    func failures() {
        var server = Ejection(Self.policy)
        for _ in 0..<2 { #expect(server.failed(.unreachable, now: Self.start) == nil) }
        server.succeeded()
        for _ in 0..<2 { #expect(server.failed(.unreachable, now: Self.start) == nil) }
        #expect(server.failed(.unreachable, now: Self.start) == .seconds(10))
        #expect(server.isEjected(now: Self.start + .milliseconds(9999)))
        #expect(!server.isEjected(now: Self.start + .seconds(10)))
    }

    @Test("What fails again as it comes back stays away twice as long, up to the longest")
    func backOff() {
        var server = Ejection(Self.policy)
        var now = Self.start
        _ = (server.failed(.unreachable, now: now), server.failed(.unreachable, now: now))
        var lengths: [TimeAmount] = []
        for _ in 0..<40 {
            guard let length = server.failed(.unreachable, now: now) else { break }
            lengths.append(length)
            #expect(server.failed(.unreachable, now: now) == nil)
            now = now + length
        }
        #expect(lengths.count == 40)
        #expect(lengths.prefix(4) == [.seconds(10), .seconds(20), .seconds(35), .seconds(35)])
        server.succeeded()
        _ = (server.failed(.unreachable, now: now), server.failed(.unreachable, now: now))
        #expect(server.failed(.unreachable, now: now) == .seconds(10))
    }

    @Test("After an ejection its share grows to the whole")
    func slowStart() {
        var server = Ejection(Self.policy)
        #expect(server.share(now: Self.start) == 1)
        for _ in 0..<3 { _ = server.failed(.unreachable, now: Self.start) }
        let back = Self.start + .seconds(10)
        #expect(server.share(now: back) == 0.1)
        server.succeeded()
        #expect(server.share(now: back + .seconds(10)) == 0.5)
        #expect(server.share(now: back + .seconds(20)) == 1)
        #expect(server.share(now: back + .hours(1)) == 1)
    }

    @Test("Without a number of failures nothing is ejected")
    func none() {
        var server = Ejection(EjectionPolicy(failures: nil))
        for _ in 0..<100 { #expect(server.failed(.unreachable, now: Self.start) == nil) }
    }

    // MARK: - connections that were accepted, and not answered

    private static let anna = ServerFault.unanswered(client: AddressKey("192.0.2.1"))
    private static let ben = ServerFault.unanswered(client: AddressKey("192.0.2.2"))

    @Test("One client ejects no server by openings that are not answered, however many")
    func poison() {
        var server = Ejection(Self.policy)
        for second in 0..<100 { #expect(server.failed(Self.anna, now: Self.start + .seconds(Int64(second))) == nil) }
        var subnet = Ejection(Self.policy)
        for host in 1..<100 {
            let fault = ServerFault.unanswered(client: AddressKey("2001:db8::\(host)"))
            #expect(subnet.failed(fault, now: Self.start) == nil)
        }
    }

    private static let rows: [([ServerFault], Bool)] = [
        ([anna, anna, ben], true), ([anna, ben, anna], true), ([anna, ben], false),
        ([.unreachable, anna, anna], true), ([anna, anna, .unreachable], true), ([anna, anna, anna], false),
    ]

    @Test("What several clients, or the edge itself, have seen in a row ejects", arguments: Self.rows)
    func witnesses(faults: [ServerFault], isEjected: Bool) {
        var server = Ejection(Self.policy)
        let times = faults.map { server.failed($0, now: Self.start) }
        #expect(times.compactMap(\.self) == (isEjected ? [.seconds(10)] : []))
        #expect(server.isEjected(now: Self.start) == isEjected)
    }

    @Test("A success between them ends the row, and who was in it")
    func success() {
        var server = Ejection(Self.policy)
        _ = (server.failed(Self.ben, now: Self.start), server.succeeded())
        for _ in 0..<10 { #expect(server.failed(Self.anna, now: Self.start) == nil) }
    }

    @Test("Nor does one client send away again what comes back; a second client does, at once")
    func probation() {
        var server = Ejection(Self.policy)
        for _ in 0..<3 { _ = server.failed(.unreachable, now: Self.start) }
        let back = Self.start + .seconds(10)
        for _ in 0..<10 { #expect(server.failed(Self.anna, now: back) == nil) }
        #expect(server.failed(Self.ben, now: back) == .seconds(20))
    }
}

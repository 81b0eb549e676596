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
        #expect(server.failed(now: Self.start) == nil && server.failed(now: Self.start) == nil)
        server.succeeded()
        #expect(server.failed(now: Self.start) == nil && server.failed(now: Self.start) == nil)
        #expect(server.failed(now: Self.start) == .seconds(10))
        #expect(server.isEjected(now: Self.start + .milliseconds(9999)))
        #expect(!server.isEjected(now: Self.start + .seconds(10)))
    }

    @Test("What fails again as it comes back stays away twice as long, up to the longest")
    func backOff() {
        var server = Ejection(Self.policy)
        var now = Self.start
        _ = (server.failed(now: now), server.failed(now: now))
        var lengths: [TimeAmount] = []
        for _ in 0..<40 {
            guard let length = server.failed(now: now) else { break }
            lengths.append(length)
            #expect(server.failed(now: now) == nil)
            now = now + length
        }
        #expect(lengths.count == 40)
        #expect(lengths.prefix(4) == [.seconds(10), .seconds(20), .seconds(35), .seconds(35)])
        server.succeeded()
        _ = (server.failed(now: now), server.failed(now: now))
        #expect(server.failed(now: now) == .seconds(10))
    }

    @Test("After an ejection its share grows to the whole")
    func slowStart() {
        var server = Ejection(Self.policy)
        #expect(server.share(now: Self.start) == 1)
        for _ in 0..<3 { _ = server.failed(now: Self.start) }
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
        for _ in 0..<100 { #expect(server.failed(now: Self.start) == nil) }
    }
}

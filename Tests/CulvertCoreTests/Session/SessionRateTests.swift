import CulvertCore
import NIOCore
import Testing

@Suite("Rates of a session")
struct SessionRateTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private static func limit(
        _ messages: Int? = nil, burst: Int = 1, bytes: Int? = nil, byteBurst: Int = 1
    ) -> SessionRateLimit {
        SessionRateLimit(messages: messages, messageBurst: burst, bytes: bytes, byteBurst: byteBurst, excess: .pause)
    }

    /// A read: when it came, in milliseconds, what it brought, and for how many milliseconds to wait after it; nil for
    /// not at all.
    typealias Read = (at: Int64, messages: UInt64, bytes: UInt64, wait: Int64?)

    @Test(
        "A read is charged for what it brought",
        arguments: [
            ("a burst goes through at once", limit(100, burst: 200), [(0, 200, 0, nil)]),
            ("one more is waited for, and a tenth of a second", limit(100, burst: 200), [(0, 201, 0, 110)]),
            ("debt is paid at the rate", limit(10, burst: 10), [(0, 30, 0, 2100)]),
            ("who has waited goes on", limit(10, burst: 10), [(0, 12, 0, 300), (300, 1, 0, nil)]),
            ("who has not waits the rest", limit(10, burst: 10), [(0, 12, 0, 300), (200, 1, 0, 200)]),
            ("a small burst is waited for, not a tenth of a second", limit(100, burst: 1), [(0, 2, 0, 20)]),
            ("silence saves up a burst and no more", limit(10, burst: 20), [(0, 20, 0, nil), (60_000, 21, 0, 200)]),
            (
                "the rate itself never waits", limit(10, burst: 1),
                [(0, 1, 0, nil), (100, 1, 0, nil), (200, 1, 0, nil), (300, 1, 0, nil)]
            ),
            ("bytes are charged alike", limit(bytes: 1000, byteBurst: 4000), [(0, 9, 4000, nil), (0, 1, 1000, 1100)]),
            (
                "the longer wait counts, of messages", limit(10, burst: 10, bytes: 1000, byteBurst: 1000),
                [(0, 20, 1100, 1100)]
            ),
            (
                "the longer wait counts, of bytes", limit(10, burst: 10, bytes: 1000, byteBurst: 1000),
                [(0, 11, 3000, 2100)]
            ),
            ("no debt is longer than an hour", limit(1, burst: 1), [(0, .max, 0, 3_600_100)]),
            ("time that stands still is no trap", limit(10, burst: 10), [(500, 10, 0, nil), (0, 1, 0, 200)]),
        ] as [(String, SessionRateLimit, [Read])])
    func table(name: String, limit: SessionRateLimit, reads: [Read]) {
        var rate = SessionRate(isLimited: true, now: Self.start)
        var messages: UInt64 = 0
        var bytes: UInt64 = 0
        for (index, read) in reads.enumerated() {
            messages += read.messages
            bytes += read.bytes
            let verdict = rate.charge(
                messages: messages, bytes: bytes, limit: limit, now: Self.start + .milliseconds(read.at))
            let wait = verdict.wait.map { ($0.nanoseconds + 500_000) / 1_000_000 }
            #expect(wait == read.wait, "\(name), read \(index)")
        }
    }

    @Test("What was too much is said")
    func reasons() {
        let limit = Self.limit(10, burst: 10, bytes: 1000, byteBurst: 1000)
        for (messages, bytes, reason) in [(11, 0, "too many messages"), (1, 1001, "too many bytes"), (1, 1, "")] {
            var rate = SessionRate(isLimited: true, now: Self.start)
            let verdict = rate.charge(
                messages: UInt64(messages), bytes: UInt64(bytes), limit: limit, now: Self.start)
            #expect(verdict.reason == reason)
        }
    }

    @Test("Over a minute of whatever reads the rate is kept, and all of it can be had")
    func rateIsKept() {
        var random = WireRandom(seed: 11)
        for limit in [Self.limit(50, burst: 100), Self.limit(1000, burst: 10), Self.limit(7, burst: 1)] {
            guard let perSecond = limit.messages else { continue }
            var rate = SessionRate(isLimited: true, now: Self.start)
            var now = Self.start
            var total: UInt64 = 0
            let largest = 20
            while now < Self.start + .seconds(60) {
                total += UInt64.random(in: 1...UInt64(largest), using: &random)
                // Somebody reads on the moment that he may.
                let wait = rate.charge(messages: total, bytes: 0, limit: limit, now: now).wait ?? .zero
                now = now + wait + .microseconds(1)
            }
            let fair = Double(perSecond * 60)
            #expect(Double(total) >= fair * 0.98)
            #expect(Double(total) <= fair * 1.02 + Double(limit.messageBurst + largest))
        }
    }

    @Test("Looking takes nothing")
    func look() {
        let limit = Self.limit(10, burst: 10)
        var rate = SessionRate(isLimited: true, now: Self.start)
        _ = rate.charge(messages: 12, bytes: 0, limit: limit, now: Self.start)
        for _ in 0..<3 { #expect(rate.look(limit: limit, now: Self.start).wait != nil) }
        #expect(rate.look(limit: limit, now: Self.start + .milliseconds(201)) == .within)
    }

    @Test("A limit that comes later does not charge for what was")
    func lateLimit() {
        let limit = Self.limit(10, burst: 10)
        for startsLimited in [false, true] {
            var rate = SessionRate(isLimited: startsLimited, now: Self.start)
            rate.suspend()
            #expect(rate.charge(messages: 1_000_000, bytes: 0, limit: limit, now: Self.start) == .within)
            #expect(rate.charge(messages: 1_000_010, bytes: 0, limit: limit, now: Self.start) == .within)
            #expect(rate.charge(messages: 1_000_011, bytes: 0, limit: limit, now: Self.start) != .within)
        }
    }

    @Test("A smaller burst holds at once")
    func smallerBurst() {
        var rate = SessionRate(isLimited: true, now: Self.start)
        _ = rate.charge(messages: 1, bytes: 0, limit: Self.limit(10, burst: 1000), now: Self.start)
        #expect(rate.charge(messages: 12, bytes: 0, limit: Self.limit(10, burst: 10), now: Self.start) != .within)
    }
}

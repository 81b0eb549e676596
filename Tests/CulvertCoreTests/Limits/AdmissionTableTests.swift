import CulvertCore
import NIOCore
import Testing

@Suite("Admission table")
struct AdmissionTableTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private static let two = AdmissionLimits(sessions: 2)
    private static let slow = AdmissionLimits(rate: BucketRate(rate: 1, burst: 1))

    private func open(
        _ table: inout AdmissionTable<String>, _ key: String, _ limits: AdmissionLimits, isHandshake: Bool = false,
        at milliseconds: Int64 = 0
    ) -> AdmissionTable<String>.Opening {
        table.open(key, limits, isHandshake: isHandshake, now: Self.start + .milliseconds(milliseconds))
    }

    @Test("Each key has its own sessions, and who closes one may open another")
    func sessions() {
        var table = AdmissionTable<String>(capacity: 10)
        #expect(self.open(&table, "a", Self.two) == .counted && self.open(&table, "a", Self.two) == .counted)
        #expect(self.open(&table, "a", Self.two) == .denied(.sessions, wait: nil))
        #expect(self.open(&table, "b", Self.two) == .counted)
        table.close("a", now: Self.start)
        #expect(self.open(&table, "a", Self.two) == .counted)
        #expect(self.open(&table, "a", Self.two) == .denied(.sessions, wait: nil))
    }

    @Test("A session that moves to a key takes a place there, if there is one")
    func moves() {
        var table = AdmissionTable<String>(capacity: 10)
        #expect(self.open(&table, "a", Self.two) == .counted)
        let first = table.move(to: "a", limit: 2, now: Self.start)
        let second = table.move(to: "a", limit: 2, now: Self.start)
        #expect(first == .counted && second == .denied(.sessions, wait: nil))
        // Another secret of the same token is not asked for a place.
        let third = table.move(to: "a", limit: nil, now: Self.start)
        #expect(third == .counted && table.sessions("a") == 3 && table.handshakes("a") == 0)
    }

    @Test("Handshakes count until they end, connections and openings together")
    func handshakes() {
        let limits = AdmissionLimits(handshakes: 2)
        var table = AdmissionTable<String>(capacity: 10)
        #expect(table.beginHandshake("a", limit: 2, now: Self.start) == .counted)
        #expect(self.open(&table, "a", limits, isHandshake: true) == .counted)
        #expect(table.beginHandshake("a", limit: 2, now: Self.start) == .denied(.handshakes, wait: nil))
        #expect(self.open(&table, "a", limits, isHandshake: true) == .denied(.handshakes, wait: nil))
        // Its handshake is counted with its connection.
        #expect(self.open(&table, "a", limits, isHandshake: false) == .counted)
        table.endHandshake("a", now: Self.start)
        #expect(table.beginHandshake("a", limit: 2, now: Self.start) == .counted)
        #expect(table.sessions("a") == 2 && table.handshakes("a") == 2)
    }

    @Test("What is refused for its sessions or handshakes takes nothing from the bucket")
    func order() {
        let limits = AdmissionLimits(sessions: 1, rate: BucketRate(rate: 1, burst: 2), handshakes: 1)
        var table = AdmissionTable<String>(capacity: 10)
        #expect(self.open(&table, "a", limits, isHandshake: true) == .counted)
        for _ in 0..<5 { #expect(self.open(&table, "a", limits) == .denied(.sessions, wait: nil)) }
        table.close("a", now: Self.start)
        for _ in 0..<5 { #expect(self.open(&table, "a", limits, isHandshake: true) == .denied(.handshakes, wait: nil)) }
        #expect(self.open(&table, "a", limits) == .counted)
        table.close("a", now: Self.start)
        #expect(self.open(&table, "a", limits) == .denied(.rate, wait: .seconds(1)))
    }

    @Test("What another scope refused is as if it had not been asked for")
    func undo() {
        let limits = AdmissionLimits(sessions: 1, rate: BucketRate(rate: 1, burst: 1), handshakes: 1)
        var table = AdmissionTable<String>(capacity: 10)
        for _ in 0..<5 {
            #expect(self.open(&table, "a", limits, isHandshake: true) == .counted)
            table.undo("a", limits, isHandshake: true, now: Self.start)
        }
        #expect(table.count == 0)
    }

    @Test("Nothing is kept of who has nothing open and a full bucket")
    func forgets() {
        var table = AdmissionTable<String>(capacity: 10)
        for key in ["a", "b", "c"] { #expect(self.open(&table, key, Self.two) == .counted) }
        for key in ["a", "b", "c"] { table.close(key, now: Self.start) }
        #expect(table.count == 0)
        #expect(self.open(&table, "a", Self.slow) == .counted)
        table.close("a", now: Self.start)
        // A new connection is no new bucket.
        #expect(self.open(&table, "a", Self.slow, at: 999) == .denied(.rate, wait: .milliseconds(1)))
        #expect(self.open(&table, "b", Self.slow, at: 1000) == .counted)
        #expect(table.count == 1)
    }

    @Test("Full, it forgets who has nothing open, idle ones first, and never one that has")
    func full() {
        var table = AdmissionTable<String>(capacity: 8)
        for n in 0..<4 { #expect(self.open(&table, "open\(n)", Self.slow) == .counted) }
        for n in 0..<4 {
            #expect(self.open(&table, "gone\(n)", Self.slow) == .counted)
            table.close("gone\(n)", now: Self.start)
        }
        #expect(table.count == 8)
        for n in 0..<100 {
            #expect(self.open(&table, "new\(n)", Self.slow) == .counted)
            table.close("new\(n)", now: Self.start)
            #expect(table.count == 8)
        }
        for n in 0..<4 { #expect(table.sessions("open\(n)") == 1) }
        // After a second all but the open ones are idle, and newcomers sweep them.
        for n in 0..<4 { #expect(self.open(&table, "late\(n)", Self.slow, at: 2000) == .counted) }
        #expect(table.count == 8)
        #expect(self.open(&table, "last", Self.slow, at: 2000) == .uncounted)
        #expect(
            table.move(to: "last", limit: nil, now: Self.start) == .uncounted && table.sessions("last") == 0)
    }

    @Test("Whatever the order, counts are what is open")
    func random() {
        var generator = SystemRandomNumberGenerator()
        var table = AdmissionTable<Int>(capacity: 20)
        var open: [Int: Int] = [:]
        var now = Self.start
        for _ in 0..<20_000 {
            now = now + .milliseconds(.random(in: 0...300, using: &generator))
            let key = Int.random(in: 0..<40, using: &generator)
            if Bool.random(using: &generator), let count = open[key] {
                table.close(key, now: now)
                open[key] = count > 1 ? count - 1 : nil
            } else if table.open(
                key, AdmissionLimits(sessions: 3, rate: BucketRate(rate: 2, burst: 4)),
                isHandshake: false, now: now) == .counted
            {
                open[key, default: 0] += 1
            }
            #expect(table.count <= 20)
        }
        for key in 0..<40 { #expect(table.sessions(key) == open[key] ?? 0) }
        #expect(open.values.allSatisfy { $0 <= 3 })
    }

    @Test("What was never counted cannot be closed")
    func strangers() {
        var table = AdmissionTable<String>(capacity: 2)
        table.close("a", now: Self.start)
        table.endHandshake("a", now: Self.start)
        table.undo("a", Self.slow, isHandshake: true, now: Self.start)
        #expect(table.count == 0)
    }
}

@Suite("Limits: addresses and denials")
struct AdmissionLimitsTests {
    @Test(
        "Addresses of one IPv6 /64 are one, and an IPv4 one is the same as its mapped form",
        arguments: [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::1", "::2", true), ("192.0.2.1", "::ffff:192.0.2.1", true), ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::192.0.2.1", false), ("::ffff:0:1", "::1", false), ("::", "0.0.0.0", false),
            ("unknown", "", true), ("unknown", "192.0.2.1", false),
        ])
    func keys(one: String, other: String, same: Bool) {
        #expect((AddressKey(one) == AddressKey(other)) == same)
    }

    @Test("The client's own doing is 429, what all have done together is 503")
    func statuses() {
        for limit in AdmissionLimit.allCases {
            let statuses = AdmissionScope.allCases.map { AdmissionDenial(scope: $0, limit: limit).status }
            #expect(statuses == [429, 429, 503, 503])
        }
    }

    @Test(
        "Retry-After is rounded up",
        arguments: [(1, 1), (1_000_000_000, 1), (1_000_000_001, 2), (59_000_000_001, 60)] as [(Int64, Int)])
    func retryAfter(nanoseconds: Int64, seconds: Int) {
        let denial = AdmissionDenial(scope: .token, limit: .rate, wait: .nanoseconds(nanoseconds))
        #expect(denial.retryAfter == seconds)
    }
}

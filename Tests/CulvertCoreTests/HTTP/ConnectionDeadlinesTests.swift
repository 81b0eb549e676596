import NIOCore
import Testing

@testable import CulvertCore

@Suite("The deadlines of a connection")
struct ConnectionDeadlinesTests {
    private static let bounds = ConnectionBounds(
        firstByte: .seconds(1), head: .seconds(2), idle: .seconds(5), rate: 100, requests: 1000)
    private static let start = NIODeadline.uptimeNanoseconds(5_000_000_000)

    private static func waiting(for step: ConnectionDeadlines.Step, at second: Int64 = 0) -> ConnectionDeadlines {
        var deadlines = ConnectionDeadlines()
        deadlines.wait(for: step, within: self.bounds, now: self.start + .seconds(second))
        return deadlines
    }

    @Test(
        "Each step has its time, and some go on with a wait that has begun before",
        arguments: [
            (.firstByte, 1, false), (.head, 2, true), (.body, 2, true), (.request, 5, true), (.rest, 2, false),
            (.end, 2, false), (.answer(length: 0, isLast: false), 5, true), (.answer(length: 0, isLast: true), 2, true),
            (.answer(length: 300, isLast: false), 8, true), (.answer(length: 300, isLast: true), 5, true),
        ] as [(ConnectionDeadlines.Step, Int64, Bool)])
    func steps(step: ConnectionDeadlines.Step, seconds: Int64, isNew: Bool) {
        var deadlines = Self.waiting(for: .request)
        let now = Self.start + .seconds(3)
        deadlines.wait(for: step, within: Self.bounds, now: now)
        #expect(deadlines.due == now + .seconds(seconds))
        #expect(deadlines.since == (isNew ? now : Self.start))
    }

    @Test(
        "Content earns its time at the rate, and never more than the grace from now on",
        arguments: [
            // Seconds since the body began, bytes of content, seconds until it is due.
            (0, 0, 2), (1, 0, 2), (1, 50, 2.5), (1, 100, 3), (1, 101, 3), (1, 10_000, 3), (1.5, 10_000, 3.5),
        ] as [(Double, Int, Double)])
    func content(after: Double, bytes: Int, due: Double) {
        func moment(_ seconds: Double) -> NIODeadline { Self.start + .milliseconds(Int64(seconds * 1000)) }
        var deadlines = Self.waiting(for: .body)
        deadlines.contentCame(bytes, within: Self.bounds, now: moment(after))
        #expect(deadlines.due == moment(due))
        #expect(deadlines.since == (bytes > 0 ? moment(after) : Self.start))
    }

    @Test("A sign that the client goes on puts nothing off")
    func goesOn() {
        var deadlines = Self.waiting(for: .answer(length: 0, isLast: false))
        deadlines.goesOn(now: Self.start + .seconds(4))
        #expect(deadlines.since == Self.start + .seconds(4))
        #expect(deadlines.due == Self.start + .seconds(5))
    }

    @Test("Nothing is due while the edge has the next step, whatever comes")
    func stopped() {
        var deadlines = ConnectionDeadlines()
        #expect(deadlines.due == nil && deadlines.since == .distantPast)
        deadlines.wait(for: .body, within: Self.bounds, now: Self.start)
        deadlines.stop()
        deadlines.contentCame(100, within: Self.bounds, now: Self.start + .seconds(1))
        #expect(deadlines.due == nil)
    }

    @Test(
        "The time of bytes at a rate",
        arguments: [
            (0, 100, 0), (1, 100, 10_000_000), (250, 100, 2_500_000_000), (7, 0, 7_000_000_000), (.max, 1, .max),
        ] as [(Int, Int, Int64)])
    func rates(bytes: Int, rate: Int, nanoseconds: Int64) {
        var bounds = Self.bounds
        bounds.rate = rate
        #expect(bounds.time(for: bytes) == .nanoseconds(nanoseconds))
    }
}

import CulvertCore
import NIOCore
import Testing

@Suite("Token bucket")
struct TokenBucketTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    /// What is taken, at which millisecond, and how many milliseconds are to be waited; nil when there was one.
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var rate: BucketRate
        var takes: [(at: Int64, wait: Int64?)]
        var testDescription: String { self.name }

        static let all = [
            Case(
                name: "a burst, then one by one", rate: BucketRate(rate: 10, burst: 3),
                takes: [(0, nil), (0, nil), (0, nil), (0, 100), (99, 1), (100, nil), (100, 100), (200, nil)]),
            Case(
                name: "a rest fills it, and no more than that", rate: BucketRate(rate: 10, burst: 2),
                takes: [(0, nil), (0, nil), (60_000, nil), (60_000, nil), (60_000, 100)]),
            Case(
                name: "half a rest fills half", rate: BucketRate(rate: 2, burst: 4),
                takes: [(0, nil), (0, nil), (0, nil), (0, nil), (1000, nil), (1000, nil), (1000, 500)]),
            Case(
                name: "one at a time", rate: BucketRate(rate: 1, burst: 1),
                takes: [(0, nil), (1, 999), (999, 1), (1000, nil), (1000, 1000)]),
            Case(
                name: "what is refused takes nothing", rate: BucketRate(rate: 1, burst: 1),
                takes: [(0, nil), (500, 500), (500, 500), (500, 500), (1000, nil)]),
        ]
    }

    @Test(arguments: Case.all)
    func table(_ row: Case) {
        var bucket = TokenBucket()
        for (step, take) in row.takes.enumerated() {
            let wait = bucket.take(row.rate, now: Self.start + .milliseconds(take.at))
            #expect(wait == take.wait.map { .milliseconds($0) }, "step \(step)")
        }
    }

    @Test("Who waits as long as was said is let in, whatever the rate", arguments: [1, 3, 7, 1000, 999_999, 1_000_000])
    func theWaitIsEnough(rate: Int) {
        let rate = BucketRate(rate: rate, burst: 2)
        var bucket = TokenBucket()
        var now = Self.start
        for _ in 0..<100 {
            guard let wait = bucket.take(rate, now: now) else { continue }
            #expect(bucket.take(rate, now: now + wait - .nanoseconds(1)) != nil)
            now = now + wait
            #expect(bucket.take(rate, now: now) == nil)
        }
    }

    @Test("It is full again when all has come back, or was given back")
    func full() {
        let rate = BucketRate(rate: 10, burst: 5)
        var bucket = TokenBucket()
        #expect(bucket.isFull(now: Self.start))
        _ = (bucket.take(rate, now: Self.start), bucket.take(rate, now: Self.start))
        #expect(!bucket.isFull(now: Self.start + .milliseconds(199)))
        #expect(bucket.isFull(now: Self.start + .milliseconds(200)))
        bucket.giveBack(rate)
        #expect(bucket.isFull(now: Self.start + .milliseconds(100)))
        bucket.giveBack(rate)
        #expect(bucket.isFull(now: Self.start))
        var untouched = TokenBucket()
        untouched.giveBack(rate)
        #expect(untouched == TokenBucket())
    }

    @Test("Numbers out of bounds are brought within", arguments: [(0, 0), (-1, -1), (Int.max, Int.max), (Int.min, 1)])
    func bounds(rate: Int, burst: Int) {
        var bucket = TokenBucket()
        #expect(bucket.take(BucketRate(rate: rate, burst: burst), now: Self.start) == nil)
    }
}

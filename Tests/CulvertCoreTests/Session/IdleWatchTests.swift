import CulvertCore
import NIOCore
import Testing

@Suite("Idle watch")
struct IdleWatchTests {
    private static let start = NIODeadline.uptimeNanoseconds(5_000_000_000)

    /// When it finds out, in seconds, if looked at whenever it asks to be, and something passes at these seconds.
    private static func end(limit: Int64, passing: [Int64]) -> Int64 {
        var watch = IdleWatch(now: self.start)
        var now = self.start
        for _ in 0..<1000 {
            let count = passing.filter { self.start + .seconds($0) <= now }.count
            switch watch.look(count: UInt64(count), limit: .seconds(limit), now: now) {
            case .idle: return (now - self.start).nanoseconds / 1_000_000_000
            case .lookAgain(let next): now = max(next, now + .nanoseconds(1))
            }
        }
        return -1
    }

    @Test(
        "It is not early, and a quarter late at most",
        arguments: [[], [1], [24], [25], [26], [49, 51, 99], [10, 110, 209], [99, 198, 297, 396, 495]] as [[Int64]])
    func precision(passing: [Int64]) {
        let end = Self.end(limit: 100, passing: passing)
        let fair = (passing.last ?? 0) + 100
        #expect(end >= fair && end <= fair + 25, "\(end)")
    }

    @Test("Silence from the start ends at the limit")
    func silent() {
        #expect(Self.end(limit: 8, passing: []) == 8)
    }

    @Test("A touch is as good as a message")
    func touch() {
        var watch = IdleWatch(now: Self.start)
        watch.touch(now: Self.start + .seconds(50))
        let at = watch.look(count: 0, limit: .seconds(100), now: Self.start + .seconds(120))
        #expect(at == .lookAgain(at: Self.start + .seconds(145)))
    }
}

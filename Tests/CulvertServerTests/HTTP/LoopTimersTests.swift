import NIOCore
import NIOEmbedded
import NIOPosix
import Testing

@testable import CulvertServer

@Suite("Timers of a loop")
struct LoopTimersTests {
    private let loop = EmbeddedEventLoop()
    private let timers: LoopTimers
    private let log = Log()

    private final class Log {
        var entries: [String] = []
    }

    init() {
        self.timers = LoopTimers(loop: self.loop, slices: LoopSlices(loop: self.loop))
    }

    private func set(_ name: String, in time: TimeAmount) -> LoopTimers.Timer {
        self.timers.schedule(in: time) { self.log.entries.append(name) }
    }

    @Test("Timers fire when they are due, the earliest first, and of the same moment the first that was set")
    func order() {
        for (name, seconds) in [("c", 3), ("a", 1), ("b", 2), ("a2", 1)] {
            _ = self.set(name, in: .seconds(Int64(seconds)))
        }
        self.loop.advanceTime(by: .milliseconds(999))
        #expect(self.log.entries.isEmpty)
        self.loop.advanceTime(by: .milliseconds(1))
        #expect(self.log.entries == ["a", "a2"])
        self.loop.advanceTime(by: .seconds(10))
        #expect(self.log.entries == ["a", "a2", "b", "c"])
        #expect(self.timers.count == 0)
    }

    @Test("A cancelled timer does not fire, lets go of its action at once, and may be cancelled again")
    func cancel() {
        final class Owner {}
        weak var held: Owner?
        let timer = {
            let owner = Owner()
            held = owner
            return self.timers.schedule(in: .seconds(1)) {
                withExtendedLifetime(owner) { self.log.entries.append("cancelled") }
            }
        }()
        _ = self.set("other", in: .seconds(2))
        #expect(held != nil)
        self.timers.cancel(timer)
        self.timers.cancel(timer)
        #expect(held == nil)
        self.loop.advanceTime(by: .seconds(3))
        #expect(self.log.entries == ["other"])
        self.timers.cancel(timer)
        self.timers.cancel(nil)
        #expect(self.timers.count == 0)
    }

    @Test("A timer may set and cancel others when it fires")
    func reentrance() {
        let late = self.set("late", in: .seconds(2))
        _ = self.timers.schedule(in: .seconds(1)) {
            self.timers.cancel(late)
            _ = self.set("now", in: .zero)
            _ = self.set("later", in: .seconds(1))
        }
        self.loop.advanceTime(by: .seconds(1))
        #expect(self.log.entries == ["now"])
        self.loop.advanceTime(by: .seconds(1))
        #expect(self.log.entries == ["now", "later"])
    }

    @Test("Attack: connections that come and go leave no more than a bounded number of cancelled timers")
    func cancelledTimersGo() {
        var most = 0
        for n in 0..<50_000 {
            self.timers.cancel(self.set("\(n)", in: .seconds(30)))
            most = max(most, self.timers.count)
        }
        print("tried 50,000 connections: at most \(most) timers were there")
        #expect(most < 1100)
        let kept = (0..<5000).map { self.set("\($0)", in: .seconds(30)) }
        for n in 0..<50_000 {
            self.timers.cancel(self.set("\(n)", in: .seconds(30)))
            most = max(most, self.timers.count)
        }
        #expect(most <= kept.count * 2 + 1100)
        self.loop.advanceTime(by: .seconds(30))
        #expect(self.log.entries == (0..<5000).map { "\($0)" })
    }
}

/// On a loop with a real clock, where what is due takes its time.
@Suite("Timers of a loop that are due in the same moment")
struct LoopTimersSliceTests {
    @Test("Attack: thousands of timers that are due at once leave other work its turn")
    func slices() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.any()
        let others = try await loop.flatSubmit {
            let timers = LoopTimers(loop: loop, slices: LoopSlices(loop: loop))
            let done = loop.makePromise(of: Int.self)
            let due = NIODeadline.now() + .milliseconds(20)
            var left = 100
            var others = 0
            let other = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .microseconds(200)) { _ in
                if left < 100, left > 0 { others += 1 }
            }
            for _ in 0..<100 {
                _ = timers.schedule(at: due) {
                    // Half a millisecond of work.
                    let end = NIODeadline.now() + .microseconds(500)
                    while NIODeadline.now() < end {}
                    left -= 1
                    if left == 0 {
                        other.cancel()
                        done.succeed(others)
                    }
                }
            }
            return done.futureResult
        }.get()
        print("tried 100 timers of 0.5 ms: other work had \(others) turns between them")
        #expect(others >= 10)
        try await group.shutdownGracefully()
    }
}

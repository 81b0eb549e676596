import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

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
        for n in 0..<5_000 {
            self.timers.cancel(self.set("\(n)", in: .seconds(30)))
            most = max(most, self.timers.count)
        }
        print("tried 5,000 connections: at most \(most) timers were there")
        #expect(most < 1100)
        let kept = (0..<1500).map { self.set("\($0)", in: .seconds(30)) }
        for n in 0..<5_000 {
            self.timers.cancel(self.set("\(n)", in: .seconds(30)))
            most = max(most, self.timers.count)
        }
        #expect(most <= kept.count * 2 + 1100)
        self.loop.advanceTime(by: .seconds(30))
        #expect(self.log.entries == (0..<1500).map { "\($0)" })
    }
}

import CulvertCore
import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

@Suite("The clock of a connection")
struct ConnectionClockTests {
    private static let bounds = ConnectionBounds(
        firstByte: .seconds(1), head: .seconds(2), idle: .seconds(5), rate: 100, requests: 1000)

    /// Calls `act` with a clock that is started, and then lets ten seconds pass.
    ///
    /// - Returns: the seconds after which deadlines have passed.
    private static func passed(_ act: (inout ConnectionClock, EmbeddedEventLoop) -> Void) -> [Int64] {
        let loop = EmbeddedEventLoop()
        let timers = LoopTimers(loop: loop, slices: LoopSlices(loop: loop))
        let start = loop.now
        var passed: [Int64] = []
        var clock = ConnectionClock(loop: loop, timers: timers)
        clock.start { passed.append((loop.now - start).nanoseconds / 1_000_000_000) }
        act(&clock, loop)
        loop.advanceTime(by: .seconds(10))
        clock.cancel()
        return passed
    }

    @Test("The deadline of the last step passes, and passes once")
    func lastStep() {
        #expect(Self.passed { clock, _ in clock.wait(for: .request, within: Self.bounds) } == [5])
        let passed = Self.passed { clock, loop in
            clock.wait(for: .request, within: Self.bounds)
            loop.advanceTime(by: .seconds(4))
            clock.wait(for: .head, within: Self.bounds)
            loop.advanceTime(by: .seconds(1))
            clock.contentCame(50, within: Self.bounds)
        }
        #expect(passed == [6])
    }

    @Test("No deadline passes while the client is waited for no more, and behind the end")
    func stopped() {
        for isCancelled in [true, false] {
            let passed = Self.passed { clock, loop in
                clock.wait(for: .head, within: Self.bounds)
                if isCancelled { clock.cancel() } else { clock.stop() }
            }
            #expect(passed == [])
        }
    }

    @Test("The wait begins anew with a sign that the client goes on, and its deadline does not")
    func goesOn() {
        let passed = Self.passed { clock, loop in
            clock.wait(for: .answer(length: 0, isLast: false), within: Self.bounds)
            let since = clock.since
            loop.advanceTime(by: .seconds(3))
            clock.goesOn()
            #expect(clock.since == since + .seconds(3))
        }
        #expect(passed == [5])
    }
}

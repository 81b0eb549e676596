import CulvertCore
import NIOCore
import Testing

struct LimitWatchTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private static func watch() -> LimitWatch { LimitWatch(limitsClient: true, limitsUpstream: true, now: Self.start) }
    private static func after(_ seconds: Int64) -> NIODeadline { Self.start + .seconds(seconds) }

    private static func limit(_ excess: SessionRateLimit.Excess) -> SessionRateLimit {
        SessionRateLimit(messages: 10, messageBurst: 10, bytes: nil, byteBurst: 0, excess: excess)
    }

    // MARK: - rates

    @Test("Within its rate a side goes on; beyond it the side waits, or the session is closed, as the limit says")
    func charging() {
        var watch = Self.watch()
        let within = watch.charge(.client, messages: 10, bytes: 0, limit: Self.limit(.pause), now: Self.start)
        #expect(within == .within)
        let over = watch.charge(.client, messages: 30, bytes: 0, limit: Self.limit(.pause), now: Self.start)
        guard case .wait(let wait) = over else {
            Issue.record("\(over)")
            return
        }
        #expect(wait > .seconds(2) && wait < .seconds(3))
        // Each side has a rate of its own, and a reload may have changed what is done.
        let other = watch.charge(.server, messages: 30, bytes: 0, limit: Self.limit(.close), now: Self.start)
        #expect(other == .close(reason: "too many messages"))
        let waits = [Self.limit(.pause), Self.limit(.close), nil].map { watch.waitToSend(limit: $0, now: Self.start) }
        #expect(waits == [wait, nil, nil])
    }

    @Test("Without a limit nothing is charged, and what passed without it is not charged when there is one again")
    func suspended() {
        var watch = Self.watch()
        watch.suspend(client: true, upstream: false)
        let limits = [nil, Self.limit(.close)]
        let client = limits.map { watch.charge(.client, messages: 1000, bytes: 0, limit: $0, now: Self.start) }
        let upstream = limits.map { watch.charge(.server, messages: 1000, bytes: 0, limit: $0, now: Self.start) }
        #expect(client == [.within, .within])
        #expect(upstream == [.within, .close(reason: "too many messages")])
    }

    @Test("A message is charged to the token once")
    func tokenMessages() {
        var watch = Self.watch()
        let taken = [UInt64(3), 3, 10].map { watch.takeTokenMessages($0) }
        #expect(taken == [3, 0, 7])
    }

    // MARK: - pauses

    @Test("A pause ends at its time, once, and of several those for pings first")
    func pauses() {
        var watch = Self.watch()
        watch.pause(.client, for: .rate, until: Self.after(1))
        watch.pause(.server, for: .rate, until: Self.after(2))
        watch.pause(.server, for: .controls, until: Self.after(2))
        #expect(watch.client.pause == Self.after(1) && watch.upstream.controlPause == Self.after(2))
        #expect(watch.deadline(stall: nil) == Self.after(1))
        let over = [0, 1, 2, 3].map { watch.takePauses(now: Self.after($0)) }
        let client = LimitWatch.Pause(side: .client, cause: .rate)
        let both = [LimitWatch.Pause(side: .server, cause: .controls), LimitWatch.Pause(side: .server, cause: .rate)]
        #expect(over == [[], [client], both, []])
    }

    @Test("A pause for the token's sake is not lengthened, and ends once")
    func tokenPause() {
        var watch = Self.watch()
        let paused = [watch.pauseForToken(until: Self.after(1)), watch.pauseForToken(until: Self.after(9))]
        let over = [0, 1, 2].map { watch.takeTokenPause(now: Self.after($0)) }
        #expect(paused == [true, false] && over == [false, true, false])
    }

    // MARK: - silence

    @Test("Silence is found within a quarter of its limit; any change of the count is none")
    func silence() {
        var watch = Self.watch()
        let looks = [(0, 0), (10, 1), (20, 1), (51, 1)].map { second, count in
            watch.lookForSilence(count: UInt64(count), limit: .seconds(40), now: Self.after(Int64(second)))
        }
        #expect(looks == [false, false, false, true])
    }

    @Test("A side that is paused for its rate may have sent anything: that is no silence")
    func silenceOfThePaused() {
        var watch = Self.watch()
        watch.pause(.client, for: .rate, until: Self.after(1000))
        let look = watch.lookForSilence(count: 0, limit: .seconds(40), now: Self.after(100))
        #expect(!look)
        #expect(!watch.isLookDue(now: Self.after(109)) && watch.isLookDue(now: Self.after(110)))
    }

    @Test("Without a limit silence is not looked for")
    func silenceWithoutLimit() {
        var watch = Self.watch()
        _ = watch.lookForSilence(count: 0, limit: .seconds(40), now: Self.start)
        let look = watch.lookForSilence(count: 0, limit: nil, now: Self.after(1000))
        #expect(!look && !watch.isLookDue(now: .distantFuture))
    }

    // MARK: - sides that take nothing

    @Test("A side that takes nothing is told of once, counted from when it began; one that takes something is not")
    func stalls() {
        var watch = Self.watch()
        watch.stalls(.client, now: Self.start)
        watch.stalls(.client, now: Self.after(20))
        watch.stalls(.server, now: Self.start)
        watch.flows(.server)
        #expect(watch.deadline(stall: .seconds(30)) == Self.after(30))
        #expect(watch.deadline(stall: nil) == .distantFuture)
        let unlimited = watch.takeStalled(stall: nil, now: .distantFuture)
        let stalled = [29, 30, 31].map { watch.takeStalled(stall: .seconds(30), now: Self.after($0)) }
        #expect(unlimited == nil && stalled == [nil, .client, nil])
    }
}

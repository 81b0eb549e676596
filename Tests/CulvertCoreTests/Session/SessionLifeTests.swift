import CulvertCore
import NIOCore
import Testing

struct SessionLifeTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private static let bye = CloseFrame(code: .goingAway, reason: "bye")
    private static let time = TimeAmount.seconds(10)

    private static func life() -> SessionLife {
        SessionLife(period: .seconds(25), limitsClient: false, limitsUpstream: false, now: Self.start)
    }

    private static func after(_ seconds: Int64) -> NIODeadline { Self.start + .seconds(seconds) }

    // MARK: - states

    private static func shutdown(_ life: inout SessionLife, isAmidMessage: Bool) -> SessionLife.OnShutdown {
        life.shutdown(
            Self.bye, patience: .seconds(5), isAmidMessage: isAmidMessage, time: Self.time, now: Self.start)
    }

    @Test("A Close with patience waits for the end of a message, and not for longer than that")
    func patience() {
        var life = Self.life()
        let verdict = Self.shutdown(&life, isAmidMessage: true)
        #expect(verdict == .wait)
        #expect(life.state == .leaving(Self.bye, until: Self.after(5)))
        #expect(life.isOpen && !life.waitsForMessageEnd)
        #expect(life.deadline(lifetime: nil, stall: nil) == Self.after(5))
        let early = life.timePassed(hasQueuedClose: false, time: Self.time, now: Self.after(4))
        let due = life.timePassed(hasQueuedClose: false, time: Self.time, now: Self.after(5))
        #expect(early == .nothing && due == .shutdown(Self.bye))
    }

    @Test("Between two messages a Close with patience is said at once, and behind the message that is on its way")
    func shutdownAtOnce() {
        var life = Self.life()
        guard case .close(let actions) = Self.shutdown(&life, isAmidMessage: false) else {
            Issue.record("it waits")
            return
        }
        #expect(actions.toClient == Self.bye && actions.toUpstream == Self.bye && actions.began)
        #expect(life.state == .closing(until: Self.after(10)))
        #expect(!life.isOpen && life.waitsForMessageEnd)
    }

    @Test("A Close that waits gives way to whatever else ends the session")
    func overtaken() {
        var life = Self.life()
        _ = Self.shutdown(&life, isAmidMessage: true)
        let actions = life.handle(.close(from: .client, CloseFrame(code: .normal)), time: Self.time, now: Self.after(1))
        #expect(actions.began && actions.toUpstream == CloseFrame(code: .normal))
        #expect(life.state == .closing(until: Self.after(11)))
        let due = life.timePassed(hasQueuedClose: false, time: Self.time, now: Self.after(6))
        #expect(due == .nothing)
    }

    @Test("A session ends once, is gone once, and is gone only behind its end")
    func once() {
        var life = Self.life()
        let early = life.connectionsClosed()
        let ends = [life.end(), life.end()]
        let gone = [life.connectionsClosed(), life.connectionsClosed()]
        #expect(!early && ends == [true, false] && gone == [true, false])
        #expect(life.hasEnded && life.isGone)
    }

    // MARK: - the close handshakes' time

    @Test("The close handshakes are cut at their deadline, unless the upstream's Close still waits for its turn")
    func closingDeadline() {
        var life = Self.life()
        _ = life.handle(.close(from: .client, Self.bye), time: Self.time, now: Self.start)
        let queued = life.timePassed(hasQueuedClose: true, time: Self.time, now: Self.after(10))
        #expect(queued == .nothing && life.state == .closing(until: Self.after(20)))
        life.beginHandshake(time: Self.time, now: Self.after(15))
        let early = life.timePassed(hasQueuedClose: false, time: Self.time, now: Self.after(24))
        let due = life.timePassed(hasQueuedClose: false, time: Self.time, now: Self.after(25))
        #expect(early == .nothing && due == .cut)
    }

    @Test("What hastens a close handshake never lengthens it")
    func hastening() {
        var life = Self.life()
        life.hasten(.seconds(1), now: Self.start)
        #expect(life.state == .open)
        _ = life.handle(.close(from: .client, Self.bye), time: Self.time, now: Self.start)
        life.hasten(.milliseconds(500), now: Self.start)
        life.hasten(.seconds(60), now: Self.start)
        #expect(life.state == .closing(until: Self.start + .milliseconds(500)))
    }

    @Test("The bytes behind a close handshake have what is left of its time, and some time at least")
    func timeToClose() {
        var life = Self.life()
        #expect(life.timeToClose(least: .milliseconds(500), time: Self.time, now: Self.start) == Self.time)
        _ = life.handle(.close(from: .client, Self.bye), time: Self.time, now: Self.start)
        #expect(life.timeToClose(least: .milliseconds(500), time: Self.time, now: Self.after(4)) == .seconds(6))
        #expect(life.timeToClose(least: .milliseconds(500), time: Self.time, now: Self.after(10)) == .milliseconds(500))
    }

    @Test("The side that broke a rule last is the violator; any other end names none")
    func violator() {
        var life = Self.life()
        #expect(life.violator == nil)
        _ = life.handle(.excess(by: .server, Self.bye), time: Self.time, now: Self.start)
        #expect(life.violator == .server)
        _ = life.handle(.violation(by: .client, Self.bye), time: Self.time, now: Self.start)
        #expect(life.violator == .client)
    }

    // MARK: - time

    @Test("A period of keepalive passes once, and no more behind the end")
    func ticks() {
        var life = Self.life()
        let due = [24, 25, 26, 50].map { life.takeTick(period: .seconds(25), now: Self.after($0)) }
        #expect(due == [false, true, false, true])
        _ = life.end()
        let late = life.takeTick(period: .seconds(25), now: Self.after(1000))
        #expect(!late)
    }

    /// What is due first, and when.
    enum First: CaseIterable {
        case tick, ownToken, callersToken, tokenPause, ratePause, controlPause, stall, lifetime, silence, handshake

        func set(_ life: inout SessionLife, at deadline: NIODeadline) {
            switch self {
            case .tick: break
            case .ownToken: life.tokens.own(endsAt: deadline)
            case .callersToken: life.tokens.caller(endsAt: deadline)
            case .tokenPause: _ = life.limits.pauseForToken(until: deadline)
            case .ratePause: life.limits.pause(.server, for: .rate, until: deadline)
            case .controlPause: life.limits.pause(.client, for: .controls, until: deadline)
            case .stall: life.limits.stalls(.client, now: SessionLifeTests.start)
            case .lifetime: break
            case .silence:
                _ = life.limits.lookForSilence(count: 0, limit: .seconds(40), now: SessionLifeTests.start)
            case .handshake:
                _ = life.handle(
                    .close(from: .client, SessionLifeTests.bye), time: deadline - SessionLifeTests.start,
                    now: SessionLifeTests.start)
            }
        }
    }

    @Test("The deadline of a session is that of what is due first", arguments: First.allCases)
    func deadline(first: First) {
        var life = Self.life()
        first.set(&life, at: Self.after(10))
        let lifetime: TimeAmount? = first == .lifetime ? .seconds(10) : nil
        let expected = Self.after(first == .tick ? 25 : 10)
        let stall = TimeAmount.seconds(first == .stall ? 10 : 30)
        #expect(life.deadline(lifetime: lifetime, stall: stall) == expected)
    }

    @Test("An ended session waits for nothing but the tokens of its callers")
    func deadlineOfTheEnded() {
        var life = Self.life()
        life.tokens.own(endsAt: Self.after(1))
        life.limits.stalls(.client, now: Self.start)
        _ = life.end()
        #expect(life.deadline(lifetime: .seconds(1), stall: .seconds(1)) == .distantFuture)
        life.tokens.caller(endsAt: Self.after(7))
        #expect(life.deadline(lifetime: .seconds(1), stall: .seconds(1)) == Self.after(7))
    }

    @Test("A session that closes has no limits any more")
    func deadlineOfTheClosing() {
        var life = Self.life()
        life.limits.pause(.client, for: .rate, until: Self.after(1))
        life.limits.stalls(.client, now: Self.start)
        _ = life.handle(.close(from: .client, Self.bye), time: Self.time, now: Self.start)
        #expect(life.limits.client.pause == nil)
        #expect(life.deadline(lifetime: .seconds(1), stall: .seconds(1)) == Self.after(10))
    }
}

struct TokenClockTests {
    private static func after(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

    @Test("Each token is looked at once, when it dies; of the callers' tokens the first one")
    func due() {
        var clock = TokenClock()
        clock.own(endsAt: Self.after(5))
        clock.caller(endsAt: Self.after(9))
        clock.caller(endsAt: Self.after(7))
        clock.caller(endsAt: Self.after(8))
        let due = [4, 5, 6, 7, 100].map { clock.take(now: Self.after($0)) }
        #expect(due == [[], [.own], [], [.callers], []])
    }

    @Test("Both are looked at, the session's own first")
    func both() {
        var clock = TokenClock()
        clock.caller(endsAt: Self.after(1))
        clock.own(endsAt: Self.after(2))
        let due = clock.take(now: Self.after(2))
        #expect(due == [.own, .callers])
    }

    @Test("A token that has died dies no second time, and callers that are forgotten are not looked at")
    func died() {
        var clock = TokenClock()
        clock.own(endsAt: Self.after(5))
        clock.caller(endsAt: Self.after(5))
        clock.die()
        clock.forgetCallers()
        let due = clock.take(now: Self.after(9))
        #expect(clock.hasDied && due == [])
    }
}

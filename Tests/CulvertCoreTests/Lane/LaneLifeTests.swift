import NIOCore
import Testing

@testable import CulvertCore

struct LaneLifeTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private static let bye = CloseFrame(code: CloseCode(rawValue: 4000), reason: "bye")
    private static let normal = CloseFrame(code: .normal)
    private static let time = TimeAmount.seconds(10)

    private static func after(_ seconds: Int64) -> NIODeadline { Self.start + .seconds(seconds) }

    /// How far a lane has come.
    enum Stage: CaseIterable {
        case joining, joined, inUse, final, ended, closing, gone

        var life: LaneLife {
            var life = LaneLife()
            if self == .joining { return life }
            _ = life.joined(7, isConnected: true, isWritable: true, time: LaneLifeTests.time, now: LaneLifeTests.start)
            _ = life.sessionTook()
            if self == .joined { return life }
            _ = life.took(hasBatches: true, hasControls: false, hasMore: false)
            if self == .final || self == .ended { _ = life.finalSent() }
            if self == .ended { _ = life.finalWritten(time: LaneLifeTests.time, now: LaneLifeTests.start) }
            if self == .closing { _ = LaneLifeTests.close(&life) }
            if self == .gone { _ = life.connectionClosed() }
            return life
        }
    }

    private static func close(
        _ life: inout LaneLife, by cause: LaneLife.Cause = .edge, hasClose: Bool = false, isWritable: Bool = true
    ) -> [LaneAction] {
        life.close(Self.bye, by: cause, hasClose: hasClose, isWritable: isWritable, now: Self.start)
    }

    // MARK: - joining

    @Test("A lane that joins waits for an envelope, and tells the session if its connection has no room")
    func joining() {
        var life = LaneLife()
        let actions = life.joined(7, isConnected: true, isWritable: false, time: Self.time, now: Self.start)
        #expect(actions == [.wake(Self.after(10)), .startKeepalive, .tellFull, .takeMore])
        #expect(life.state == .joined(7) && life.generation == 7)
        let early = life.timePassed(now: Self.after(9))
        let due = life.timePassed(now: Self.after(10))
        #expect(early == [])
        #expect(due == [.close(CloseFrame(code: CloseCode(rawValue: 4408), reason: "no envelope came"))])
    }

    @Test("A lane that has the session's Close before it joins waits for no envelope")
    func joiningBehindFinal() {
        var life = LaneLife()
        let final = life.finalSent()
        let joined = life.joined(7, isConnected: true, isWritable: true, time: Self.time, now: Self.start)
        let written = life.finalWritten(time: Self.time, now: Self.after(1))
        #expect(final == [.wake(nil)] && joined == [.startKeepalive, .takeMore])
        #expect(written == [.wake(Self.after(11))])
        // An envelope does not lengthen the end.
        let taken = life.sessionTook()
        let first = life.took(hasBatches: true, hasControls: false, hasMore: false)
        #expect(taken == .take && first == .begin(endsWait: false) && life.deadline == Self.after(11))
    }

    @Test("A lane that was closed or is gone before the session knows it is lost at once", arguments: [true, false])
    func lostWhileJoining(isConnected: Bool) {
        var life = LaneLife()
        let closing = isConnected ? Self.close(&life) : []
        #expect(closing.first == (isConnected ? .linger : nil))
        let actions = life.joined(7, isConnected: isConnected, isWritable: true, time: Self.time, now: Self.start)
        #expect(actions == [.lost(7)])
        #expect(life.generation == nil && life.isClosing)
    }

    // MARK: - reading

    @Test("What a take of envelopes leads to", arguments: [Stage.joined, .inUse], [0, 1, 2, 3, 4, 5, 6, 7])
    func taking(stage: Stage, bits: Int) {
        let (hasBatches, hasControls, hasMore) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0)
        var life = stage.life
        _ = life.sessionTook()
        let next = life.took(hasBatches: hasBatches, hasControls: hasControls, hasMore: hasMore)
        let isTold = hasBatches || (stage == .inUse && hasControls)
        switch next {
        case .begin(let endsWait): #expect(stage == .joined && hasBatches && endsWait && life.deadline == nil)
        case .tell: #expect(stage == .inUse && isTold)
        case .later: #expect(hasMore && !isTold)
        case .nothing: #expect(!hasMore && !isTold)
        }
        #expect(life.mayTake == (next == .nothing))
        let turn = life.sessionTook()
        #expect(turn == (hasMore ? .later : .take))
        life.turnCame()
        let again = life.sessionTook()
        #expect(again == .take && life.mayTake)
    }

    @Test("A read waits for the session and for the end of a pause, and is given once")
    func reading() {
        var life = LaneLife()
        let early = life.readAsked()
        _ = life.joined(7, isConnected: true, isWritable: true, time: Self.time, now: Self.start)
        life.pause()
        _ = life.sessionTook()
        let paused = life.readOn()
        let ended = [life.endPause(), life.endPause()]
        let asked = life.readAsked()
        #expect(!early && paused == .nothing && ended == [true, false] && asked)
        _ = life.took(hasBatches: true, hasControls: false, hasMore: false)
        let held = life.readAsked()
        _ = life.sessionTook()
        #expect(!held)
        #expect(life.readOn() == .read)
    }

    @Test("A client that is not read counts as heard")
    func keepalive() {
        var life = Stage.inUse.life
        let held = (0..<4).map { _ in life.tick() }
        #expect(held == [.nothing, .nothing, .nothing, .nothing])
        _ = life.sessionTook()
        let read = (0..<3).map { _ in life.tick() }
        #expect(read == [.ping, .lost, .lost])
        _ = Self.close(&life)
        #expect(life.tick() == .nothing)
    }

    // MARK: - closing

    @Test("What follows the lane's Close", arguments: [LaneLife.Cause.edge, .answer, .failure], [0, 1, 2, 3])
    func endings(cause: LaneLife.Cause, bits: Int) {
        let (hasClose, isInputClosed) = (bits & 1 != 0, bits & 2 != 0)
        var life = Stage.inUse.life
        if isInputClosed { _ = life.inputClosed(time: Self.time, now: Self.start) }
        let actions = Self.close(&life, by: cause, hasClose: hasClose)
        let ending: LaneAction.Ending =
            isInputClosed
            ? .closeBehindOutput
            : hasClose || cause == .answer ? .close : cause == .failure ? .endOutput : .answer
        #expect(actions == [.lost(7), .linger, .forget, .say(Self.bye, then: ending), .wake(Self.after(2)), .read])
        #expect(life.state == .closing(isFailure: cause == .failure))
        #expect(life.hearsClose == (cause != .failure))
        let again = Self.close(&life)
        let due = life.timePassed(now: Self.after(2))
        #expect(again == [] && due == [.cut])
    }

    @Test("No Close is kept for a client that takes nothing")
    func closingWithoutRoom() {
        var life = Stage.joined.life
        let actions = Self.close(&life, isWritable: false)
        #expect(actions == [.lost(7), .linger, .forget, .cut])
        #expect(life.deadline == nil)
    }

    @Test("A lane that closes is read for the client's Close, and tells nobody anything")
    func behindClose() {
        var life = Stage.closing.life
        let asked = life.readAsked()
        let taken = life.took(hasBatches: true, hasControls: true, hasMore: true)
        let final = life.finalSent() + life.finalWritten(time: Self.time, now: Self.after(1))
        let actions = life.goAway(now: Self.after(1)) + life.connectionClosed()
        #expect(asked && taken == .nothing && final == [] && actions == [])
    }

    @Test("The end of the client's direction", arguments: Stage.allCases, [true, false])
    func inputClosed(stage: Stage, sessionTook: Bool) {
        var life = stage.life
        if sessionTook { _ = life.sessionTook() }
        let actions = life.inputClosed(time: Self.time, now: Self.after(1))
        let isRead = sessionTook || stage == .joined
        switch stage {
        case .closing: #expect(actions == [.closeBehindOutput])
        case .gone: #expect(actions == [])
        case _ where isRead: #expect(actions == [.cut])
        case .inUse: #expect(actions == [.wake(Self.after(11))] && life.wait == .rest(until: Self.after(11)))
        case .joining, .joined, .final, .ended: #expect(actions == [])
        }
        guard stage == .inUse, !isRead else { return }
        _ = life.sessionTook()
        #expect(life.readOn() == .cut)
    }

    @Test("What a lane does when the server stops", arguments: Stage.allCases)
    func goingAway(stage: Stage) {
        var life = stage.life
        let actions = life.goAway(now: Self.after(1))
        switch stage {
        case .joining, .joined:
            #expect(actions == [.close(CloseFrame(code: .goingAway, reason: "server going away"))])
        case .final, .ended: #expect(actions == [.wake(Self.after(3))])
        case .inUse, .closing, .gone: #expect(actions == [])
        }
        guard stage == .inUse || stage == .final else { return }
        // The client is waited for briefly.
        _ = life.finalSent()
        let written = life.finalWritten(time: Self.time, now: Self.after(5))
        let due = life.timePassed(now: Self.after(7))
        #expect(written == [.wake(Self.after(7))] && due == [.close(Self.normal)])
    }

    @Test("How a lane gives its memory back", arguments: Stage.allCases)
    func memory(stage: Stage) {
        let life = stage.life
        let outOfMemory = LaneAction.close(CloseFrame(code: .tryAgainLater, reason: "server out of memory"))
        switch stage {
        case .joining, .joined: #expect(life.relief == outOfMemory && life.onShortage == .act(outOfMemory))
        case .inUse, .final, .ended: #expect(life.relief == nil && life.onShortage == .relieve)
        case .closing, .gone: #expect(life.relief == .cut && life.onShortage == .act(.cut))
        }
        #expect(life.isUnused == (life.relief != nil))
    }

    @Test("A connection that is gone is told once, to a session that knows the lane", arguments: Stage.allCases)
    func gone(stage: Stage) {
        var life = stage.life
        let generation = life.generation
        life.connectionCloses()
        let first = life.connectionClosed()
        let second = life.connectionClosed()
        #expect(first == (generation.map { [.lost($0)] } ?? []) && second == [])
        #expect(life.state == .gone && life.deadline == nil)
    }
}

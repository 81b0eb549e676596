import Testing

@testable import CulvertCore

@Suite("The memory of a connection")
struct ConnectionMemoryTests {
    private static let ceiling = 800_000
    private static let little = ConnectionMemory.alwaysHeld

    @Test("What it holds is all of it together")
    func sum() {
        #expect(ConnectionMemory(waiting: 1, content: 20, buffers: 300).sum == 321)
    }

    @Test("Below the ceiling nothing is done, and bodies leave an eighth of it free", arguments: ConnectionPhase.allCases)
    func below(phase: ConnectionPhase) {
        let memory = ConnectionMemory(waiting: 0, content: 100_000, buffers: 0)
        for used in [0, 700_000, 700_001, 800_000] {
            let step = memory.atCeiling(Self.ceiling, used: used, in: phase, isWhole: false)
            #expect(step == (phase == .body && used > 700_000 ? .refuse : .nothing), "\(used)")
        }
    }

    @Test("A connection that holds little is let go of together with others", arguments: ConnectionPhase.allCases)
    func little(phase: ConnectionPhase) {
        for isWhole in [true, false] {
            let memory = ConnectionMemory(waiting: 6 * 1024, content: 10 * 1024, buffers: 64 * 1024)
            let step = memory.atCeiling(Self.ceiling, used: Self.ceiling + 1, in: phase, isWhole: isWhole)
            #expect(step == .relieveOthers)
        }
    }

    @Test("A request that is not whole is refused; one that is, and a head, end where much waits")
    func much() {
        func step(waiting: Int, content: Int, _ phase: ConnectionPhase, isWhole: Bool) -> ConnectionMemory.AtCeiling {
            ConnectionMemory(waiting: waiting, content: content, buffers: 0)
                .atCeiling(Self.ceiling, used: Self.ceiling + 1, in: phase, isWhole: isWhole)
        }
        for (waiting, content) in [(Self.little + 1, 0), (Self.little, 1)] {
            for phase in ConnectionPhase.allCases {
                for isWhole in [true, false] {
                    let step = step(waiting: waiting, content: content, phase, isWhole: isWhole)
                    switch phase {
                    case .body: #expect(step == .refuse)
                    case .deciding where !isWhole: #expect(step == .refuse)
                    case .answering: #expect(step == .relieveOthers)
                    default: #expect(step == (waiting > Self.little ? .cut : .nothing), "\(phase) \(waiting)")
                    }
                }
            }
        }
    }

    @Test("For the relief of memory a body is refused, and kept buffers alone end no request")
    func relief() {
        for phase in ConnectionPhase.allCases {
            let kept = ConnectionMemory.onRelief(held: 1000, buffers: 1000, in: phase)
            let more = ConnectionMemory.onRelief(held: 1001, buffers: 1000, in: phase)
            switch phase {
            case .upgraded, .closed: #expect(kept == .nothing && more == .nothing)
            case .body: #expect(kept == .refuse && more == .refuse)
            case .idle: #expect(kept == .cut && more == .cut)
            default: #expect(kept == .nothing && more == .cut)
            }
        }
    }
}

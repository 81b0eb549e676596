import CulvertCore
import NIOCore
import NIOEmbedded
import Synchronization
import Testing

@testable import CulvertEdge

@Suite("Answers on their way to a client that may not read them")
struct AnswerHoldTests {
    private final class Count: Sendable {
        let value = Atomic<Int>(0)
        var now: Int { self.value.load(ordering: .relaxed) }
        func add() { self.value.wrappingAdd(1, ordering: .relaxed) }
    }

    @Test("An answer counts at what it costs from its handing out until it is written")
    func counts() {
        let memory = SessionMemory()
        let hold = AnswerHold(bytes: 100, memory: memory, now: .now())
        #expect(memory.used == 100)
        #expect(hold.begin(bytes: 250) {})
        #expect(memory.used == 250 && hold.bytes == 250 && hold.isUnderWay)
        hold.release()
        hold.release()
        #expect(memory.used == 0 && hold.bytes == 0 && !hold.isUnderWay)
        #expect(!hold.begin(bytes: 100) {})
        #expect(memory.used == 0)
    }

    @Test("An answer whose connection is gone before it is written counts no more")
    func lost() {
        let memory = SessionMemory()
        do {
            let hold = AnswerHold(bytes: 100, memory: memory, now: .now())
            _ = hold.begin(bytes: 200) {}
        }
        #expect(memory.used == 0)
    }

    @Test("Cutting closes the connection once, and only while the answer is being written")
    func cutting() {
        let closed = Count()
        let hold = AnswerHold(bytes: 100, memory: SessionMemory(), now: .now())
        #expect(hold.begin(bytes: 100) { closed.add() })
        #expect(hold.isNewest)
        #expect(hold.cut() == 100)
        #expect(!hold.isNewest && hold.isUnderWay)
        #expect(hold.cut() == 0)
        #expect(closed.now == 1)
        #expect(hold.bytes == 100, "it is there until the connection is gone")
        let written = AnswerHold(bytes: 100, memory: SessionMemory(), now: .now())
        #expect(written.begin(bytes: 100) { closed.add() })
        written.release()
        written.cut()
        #expect(closed.now == 1)
    }

    @Test("An answer that is cut before its connection has begun is not written")
    func cutEarly() {
        let hold = AnswerHold(bytes: 100, memory: SessionMemory(), now: .now())
        hold.cut()
        #expect(!hold.begin(bytes: 100) {})
    }

    @Test("The relief of memory finds answers that are not read, and keeps nothing of those that are written")
    func ledger() {
        let memory = SessionMemory()
        let start = NIODeadline.now()
        var ledger = AnswerLedger()
        let closed = Count()
        var unread: [AnswerHold] = []
        for number in 0..<1000 {
            let hold = AnswerHold(bytes: 100_000, memory: memory, now: start)
            _ = hold.begin(bytes: 100_000) { closed.add() }
            ledger.add(hold)
            if number % 100 == 0 { unread.append(hold) }
        }
        #expect(memory.used == 1_000_000)
        #expect(ledger.cut(before: start - .seconds(1)) == 0, "they are new")
        #expect(ledger.cut(before: start) == 1_000_000)
        #expect(closed.now == 10 && unread.count == 10)
        #expect(ledger.cut(before: start) == 0, "each is cut once")
    }
}

@Suite("Masks of the edge's own frames")
struct MaskSourceTests {
    @Test("No two sources and no two draws agree, and the keys are spread over all bits")
    func unpredictable() {
        var one = MaskSource()
        var other = MaskSource()
        let keys = (0..<5000).map { _ in one.next() } + (0..<5000).map { _ in other.next() }
        // Of 10,000 random words about 0.01 pairs are equal.
        #expect(Set(keys).count >= 9_998)
        for bit in 0..<32 {
            let set = keys.count { $0 >> UInt32(bit) & 1 == 1 }
            #expect(set > 4500 && set < 5500, "bit \(bit)")
        }
    }
}

import Testing

@testable import CulvertEdge

@Suite("Answers to openings, and the memory that they hold together")
struct AnswerMeterTests {
    private static let ceiling = 1 << 20

    /// Meters of answers that have `bytes` each, until the next is refused.
    private static func fill(_ memory: SessionMemory, bytes: Int) -> [AnswerMeter] {
        var meters: [AnswerMeter] = []
        while meters.count < 10_000 {
            let meter = AnswerMeter(memory, ceiling: Self.ceiling)
            do throws(AnswerMeter.Full) {
                try meter.keep(bytes)
            } catch {
                return meters
            }
            meters.append(meter)
        }
        return meters
    }

    @Test("Large answers hold an eighth of the ceiling together")
    func large() {
        let memory = SessionMemory()
        let meters = Self.fill(memory, bytes: 16_000)
        #expect(meters.count == Self.ceiling / 8 / 32_000)
        #expect(memory.used == meters.count * 32_000 && memory.usedBySessions == 0)
    }

    @Test("Smaller answers hold a quarter of the ceiling together, whatever the large ones hold")
    func small() throws {
        let memory = SessionMemory()
        let large = Self.fill(memory, bytes: 16_000)
        let small = Self.fill(memory, bytes: 4_000)
        #expect(memory.used <= Self.ceiling / 4 && memory.used > Self.ceiling / 4 - 8_000)
        // An ordinary answer is not counted.
        try AnswerMeter(memory, ceiling: Self.ceiling).keep(1000)
        #expect(!large.isEmpty && !small.isEmpty)
    }

    @Test("There is room again for each answer that is handed on, or whose connection is gone")
    func release() throws {
        let memory = SessionMemory()
        var meters = Self.fill(memory, bytes: 16_000)
        meters.first?.end()
        meters.removeLast()
        for _ in 0..<2 {
            let meter = AnswerMeter(memory, ceiling: Self.ceiling)
            try meter.keep(16_000)
            meters.append(meter)
        }
        #expect(throws: AnswerMeter.Full.self) {
            try AnswerMeter(memory, ceiling: Self.ceiling).keep(16_000)
        }
        meters = []
        #expect(memory.used == 0 && memory.addAnswers(0) == 0)
    }

    @Test("Without a ceiling no answer is refused")
    func unlimited() throws {
        let meter = AnswerMeter(SessionMemory(), ceiling: nil)
        try meter.keep(1 << 30)
    }
}

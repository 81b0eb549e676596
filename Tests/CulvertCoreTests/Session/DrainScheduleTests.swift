import CulvertCore
import NIOCore
import Testing

@Suite("When sessions are sent away")
struct DrainScheduleTests {
    @Test("Each has a part of the time to itself, at another moment of it each time", arguments: [1, 2, 7, 2000])
    func parts(count: Int) {
        var random = WireRandom(seed: 7)
        let offsets = DrainSchedule.offsets(count: count, over: .seconds(30), using: &random)
        #expect(offsets.count == count && offsets == offsets.sorted())
        let part = 30_000_000_000 / Double(count)
        for (index, offset) in offsets.enumerated() {
            #expect(Int(Double(offset.nanoseconds) / part) == index)
        }
        #expect(DrainSchedule.offsets(count: count, over: .seconds(30), using: &random) != offsets)
    }

    @Test("No time is at once, and nobody is nobody")
    func nothing() {
        var random = WireRandom(seed: 7)
        #expect(DrainSchedule.offsets(count: 3, over: .zero, using: &random) == [.zero, .zero, .zero])
        #expect(DrainSchedule.offsets(count: 0, over: .seconds(1), using: &random).isEmpty)
    }
}

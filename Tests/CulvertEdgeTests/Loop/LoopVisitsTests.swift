import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

@Suite("Visits in slices of a loop")
struct LoopVisitsTests {
    @Test("Each element is visited once, the last first, and then comes the answer", arguments: [0, 1, 500])
    func visit(count: Int) throws {
        let loop = EmbeddedEventLoop()
        var seen: [Int] = []
        let answer = LoopSlices(loop: loop).visit(Array(0..<count)) { (number: Int?) in
            if let number { seen.append(number) }
            return seen.count
        }
        #expect(seen.isEmpty)
        loop.advanceTime(by: .seconds(1))
        #expect(try answer.wait() == count)
        #expect(seen == (0..<count).reversed())
    }
}

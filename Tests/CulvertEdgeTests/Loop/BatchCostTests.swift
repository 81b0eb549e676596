import CulvertCore
import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

@Suite("The cost of a batch to its loop")
struct BatchCostTests {
    @Test("Many bytes of few messages make a loop busy, as many messages do")
    func bytes() {
        let slices = LoopSlices(loop: EmbeddedEventLoop())
        var batch = PollBatch(ack: 0, first: 1)
        batch.append(PollMessage(opcode: .text, payload: ByteBuffer(repeating: 0, count: 100 * 128)))
        #expect((100...102).contains(batch.cost))
        slices.notePassed(batch.cost)
        #expect(!slices.isShort)
        slices.notePassed(bytes: LoopSlices.messages * LoopSlices.bytesPerMessage)
        #expect(slices.isShort)
    }
}

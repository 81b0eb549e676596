import CulvertSystem
import Testing

@Suite("Log buffer")
struct LogBufferTests {
    private func lines(_ batch: LogBuffer.Batch) -> [String] {
        String(decoding: batch.bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    @Test("Lines come out in their order, and the buffer is empty then")
    func order() {
        var buffer = LogBuffer(capacity: 1000)
        for number in 0..<50 { buffer.append(Array("line \(number)\n".utf8)) }
        let batch = buffer.take()
        #expect(self.lines(batch) == (0..<50).map { "line \($0)" })
        #expect(batch.dropped == 0)
        #expect(buffer.isEmpty)
    }

    @Test("Past the capacity every line is dropped and counted until the buffer is taken, short ones too")
    func capacity() {
        var buffer = LogBuffer(capacity: 20)
        buffer.append(Array("aaaaaaaaa\n".utf8))
        buffer.append(Array("bbbbbbbbbbbbbbbbbbbb\n".utf8))
        buffer.append(Array("c\n".utf8))
        let batch = buffer.take()
        #expect(self.lines(batch) == ["aaaaaaaaa"])
        #expect(batch.dropped == 2)
        buffer.append(Array("d\n".utf8))
        let next = buffer.take()
        #expect(self.lines(next) == ["d"])
        #expect(next.dropped == 0)
    }

    @Test("A flood holds no more than the capacity, and every line is either held or counted")
    func flood() {
        var buffer = LogBuffer(capacity: 4096)
        for _ in 0..<100_000 { buffer.append(Array("0123456789abcde\n".utf8)) }
        let batch = buffer.take()
        #expect(batch.bytes.count == 4096)
        #expect(batch.bytes.count / 16 + batch.dropped == 100_000)
    }

    @Test("A chunk has whole lines, as many as a pipe takes at once, and a longer line by itself")
    func chunks() {
        let short = Array(String(repeating: "0123456789abcde\n", count: 1000).utf8)
        #expect(LogBuffer.chunkLength(of: short[...]) == 4096)
        #expect(LogBuffer.chunkLength(of: short[16...]) == 4096)
        let uneven = Array((String(repeating: "x", count: 3000) + "\n" + String(repeating: "y", count: 3000) + "\n").utf8)
        #expect(LogBuffer.chunkLength(of: uneven[...]) == 3001)
        #expect(LogBuffer.chunkLength(of: uneven[3001...]) == 3001)
        let long = Array((String(repeating: "z", count: 9000) + "\nnext\n").utf8)
        #expect(LogBuffer.chunkLength(of: long[...]) == 9001)
        #expect(LogBuffer.chunkLength(of: long[9001...]) == 5)
    }
}

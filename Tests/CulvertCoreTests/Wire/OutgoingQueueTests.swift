import CulvertCore
import NIOCore
import Testing

@Suite("Outgoing queue of a peer")
struct OutgoingQueueTests {
    /// A connection that takes nothing unless told to: its entries, as NIO keeps them.
    private struct Stuck {
        var queue = OutgoingQueue()
        var entries: [ByteBuffer] = []
        var isMarked = false

        var bytes: Int { self.entries.reduce(0) { $0 + $1.readableBytes } }
        /// What the entries really cost.
        var cost: Int { self.entries.reduce(0) { $0 + $1.storageCapacity + 150 } }

        mutating func write(_ bytes: ByteBuffer) {
            if self.queue.passes(bytes) {
                self.entries.append(bytes)
            } else {
                let (first, second) = self.queue.keep(bytes)
                self.entries += [first, second].compactMap(\.self)
            }
            if self.queue.wantsLook { self.isMarked = self.queue.looked(held: self.bytes) }
        }

        /// The connection writes everything out; what was written before the mark is out, and then some.
        mutating func drain() -> [UInt8] {
            var out: [UInt8] = []
            repeat {
                for entry in self.entries { out += Array(entry.readableBytesView) }
                self.entries = []
                guard self.isMarked else { break }
                if let tail = self.queue.takeTail() {
                    self.entries = [tail]
                } else {
                    self.isMarked = self.queue.looked(held: 0)
                }
            } while !self.entries.isEmpty
            return out
        }
    }

    /// A small piece of a read's buffer, which keeps all of it.
    private static func slice(_ byte: UInt8, of capacity: Int) -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: capacity)
        buffer.writeInteger(byte)
        buffer.writeInteger(byte)
        return buffer
    }

    @Test("Two bytes at a time cost what is counted", arguments: [2, 64, 2048, 65536])
    func small(capacity: Int) {
        var stuck = Stuck()
        for index in 0..<100_000 { stuck.write(Self.slice(UInt8(truncatingIfNeeded: index), of: capacity)) }
        let held = stuck.bytes + stuck.queue.tailBytes
        #expect(held == 200_000)
        // What came before the connection was asked, and whole chunks.
        #expect(stuck.cost <= 2 * held + OutgoingQueue.look * 2 + capacity * 2)
        #expect(stuck.entries.count <= OutgoingQueue.look / OutgoingQueue.entry + 200_000 / OutgoingQueue.chunk + 2)
    }

    @Test("The bytes come out in order, whatever their sizes and whenever the peer takes them", arguments: [UInt64](1...8))
    func order(seed: UInt64) {
        var random = WireRandom(seed: seed)
        var stuck = Stuck()
        var sent: [UInt8] = []
        var received: [UInt8] = []
        for _ in 0..<2000 {
            let size = [1, 2, 100, 4096, 20_000, 70_000].randomElement(using: &random) ?? 1
            let bytes = random.bytes(min(size, Int.random(in: 1...size, using: &random)))
            sent += bytes
            stuck.write(ByteBuffer(bytes: bytes))
            if Int.random(in: 0..<20, using: &random) == 0 { received += stuck.drain() }
        }
        received += stuck.drain()
        #expect(received == sent)
        #expect(!stuck.queue.isBacklogged)
        #expect(stuck.queue.tailBytes == 0)
    }

    @Test("While the connection holds nothing, nothing is copied and it is seldom asked")
    func calm() {
        var queue = OutgoingQueue()
        var looks = 0
        for _ in 0..<10_000 {
            let passes = queue.passes(ByteBuffer(bytes: [1, 2, 3]))
            #expect(passes)
            if queue.wantsLook {
                looks += 1
                let isBacklogged = queue.looked(held: 0)
                #expect(!isBacklogged)
            }
        }
        #expect(looks <= 10_000 / 100)
    }

    @Test("A peer that stops reading after a calm time leaves little unknown, and is asked as often as at first")
    func stopsReading() {
        var queue = OutgoingQueue()
        for _ in 0..<20 { _ = queue.looked(held: 0) }
        var unknown = 0
        while !queue.wantsLook {
            #expect(queue.isUnknown || unknown == 0)
            _ = queue.passes(ByteBuffer(bytes: [1, 2]))
            unknown += OutgoingQueue.entry
        }
        #expect(unknown <= OutgoingQueue.longestLook)
        let isBacklogged = queue.looked(held: 1)
        #expect(isBacklogged && !queue.isUnknown)
        _ = queue.looked(held: 0)
        var writes = 0
        while !queue.wantsLook {
            _ = queue.passes(ByteBuffer(bytes: [1, 2]))
            writes += 1
        }
        #expect(writes <= 2 * OutgoingQueue.look / OutgoingQueue.entry)
    }

    @Test("A large write goes to the connection as it is, behind what waited")
    func large() {
        var queue = OutgoingQueue()
        let isBacklogged = queue.looked(held: 1)
        #expect(isBacklogged)
        let small = ByteBuffer(bytes: [1])
        let big = ByteBuffer(bytes: [UInt8](repeating: 2, count: 60_000))
        let none = queue.keep(small)
        #expect(none.first == nil && none.second == nil)
        let both = queue.keep(big)
        #expect(both.first == small && both.second == big)
        #expect(queue.tailBytes == 0)
    }
}

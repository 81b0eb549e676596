import CulvertCore
import Testing

@Suite("Work that waits for its turn")
struct FairQueueTests {
    private func drain(_ queue: inout FairQueue<String, String>) -> [String] {
        var taken: [String] = []
        while let next = queue.next() { taken.append(next) }
        return taken
    }

    @Test("The turns go round among the keys; a key's own work keeps its order")
    func turns() {
        var queue = FairQueue<String, String>(limit: 10)
        for element in ["a1", "a2", "a3", "b1", "c1", "b2"] {
            #expect(queue.join(element, of: String(element.prefix(1))) == nil)
        }
        #expect(self.drain(&queue) == ["a1", "b1", "c1", "a2", "b2", "a3"])
        #expect(queue.count == 0)
    }

    @Test("A key that comes again after its turn is behind the others")
    func comesAgain() {
        var queue = FairQueue<String, String>(limit: 10)
        _ = queue.join("a1", of: "a")
        _ = queue.join("b1", of: "b")
        #expect(queue.next() == "a1")
        _ = queue.join("a2", of: "a")
        #expect(self.drain(&queue) == ["b1", "a2"])
    }

    @Test("What is evicted is the last of the key that has most, and a key without elements has no turn")
    func evicts() {
        var queue = FairQueue<String, String>()
        for element in ["a1", "b1", "b2", "c1"] { _ = queue.join(element, of: String(element.prefix(1))) }
        #expect(queue.evict() == "b2")
        let second = queue.evict()
        #expect(second.map { ["a1", "b1", "c1"].contains($0) } == true)
        #expect(queue.count == 2)
        _ = queue.join("d1", of: "d")
        #expect(self.drain(&queue) == ["a1", "b1", "c1", "d1"].filter { $0 != second })
        #expect(queue.isEmpty && queue.evict() == nil)
    }

    @Test("What is put back comes before all that its key has, and behind the turns of the others")
    func putBack() {
        var queue = FairQueue<String, String>()
        for element in ["a1", "a2", "b1", "b2"] { _ = queue.join(element, of: String(element.prefix(1))) }
        #expect(queue.next() == "a1")
        queue.putBack("a1, the rest", of: "a")
        #expect(queue.count == 4)
        #expect(self.drain(&queue) == ["b1", "a1, the rest", "b2", "a2"])
        // Nothing of its key waits.
        _ = queue.join("b3", of: "b")
        queue.putBack("a3", of: "a")
        #expect(!queue.isEmpty)
        #expect(self.drain(&queue) == ["b3", "a3"])
        #expect(queue.isEmpty)
    }

    @Test("Attack: a key that fills the queue loses room to a key that has less, and takes none of it back")
    func eviction() {
        var queue = FairQueue<String, String>(limit: 4)
        for n in 1...4 { #expect(queue.join("a\(n)", of: "a") == nil) }
        #expect(queue.isFull)
        #expect(queue.join("a5", of: "a") == "a5")
        #expect(queue.join("b1", of: "b") == "a4")
        #expect(queue.join("b2", of: "b") == "a3")
        // Both have two: neither takes of the other.
        #expect(queue.join("b3", of: "b") == "b3")
        #expect(queue.join("a6", of: "a") == "a6")
        // A third has room still, and so has a fourth.
        let third = queue.join("c1", of: "c")
        #expect(third == "a2" || third == "b2")
        #expect(queue.count == 4)
        #expect(queue.join("d1", of: "d") != nil)
        #expect(Set(self.drain(&queue)) == ["a1", "b1", "c1", "d1"])
    }

    @Test("With a key for each element the queue is full for the next one")
    func oneEach() {
        var queue = FairQueue<Int, Int>(limit: 3)
        for key in 0..<3 { #expect(queue.join(key, of: key) == nil) }
        #expect(queue.join(3, of: 3) == 3)
        #expect(queue.next() == 0)
        #expect(queue.join(4, of: 4) == nil)
    }
}

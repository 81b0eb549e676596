import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

@Suite("The connections of a loop")
struct ConnectionTableTests {
    /// A lane that holds bytes, and leaves its table when it is closed.
    private final class HoldingLane: SessionLane {
        let table: ConnectionTable
        var isUnused: Bool
        var heldBytes: Int
        private(set) var wasTold = 0

        init(in table: ConnectionTable, holds bytes: Int, isUnused: Bool = true) {
            self.table = table
            self.heldBytes = bytes
            self.isUnused = isUnused
            table.add(self)
        }

        func relieve(least: Int) -> Int {
            guard self.heldBytes >= least else { return 0 }
            defer { self.heldBytes = 0 }
            self.cut()
            return self.heldBytes
        }

        func cut() { self.table.remove(self) }
        func goAway() { self.cut() }
        func tellHeld() { self.wasTold += 1 }
        func obey(_ order: LaneOrder) {}
        func answered(_ answer: PollAnswer) {}
    }

    @Test("The relief takes from the larger class first, and stops when enough is free")
    func relief() {
        let table = ConnectionTable()
        let small = (0..<8).map { _ in HoldingLane(in: table, holds: 5000) }
        let large = HoldingLane(in: table, holds: 100_000)
        #expect(table.relieve(50_000) == (connections: 1, bytes: 100_000))
        #expect(large.heldBytes == 0 && small.allSatisfy { $0.heldBytes == 5000 })
        #expect(table.relieve(9000) == (connections: 2, bytes: 10_000))
        #expect(table.lanes.count == 6)
    }

    @Test("A lane that a session uses gives nothing back")
    func used() {
        let table = ConnectionTable()
        let lane = HoldingLane(in: table, holds: 100_000, isUnused: false)
        #expect(table.relieve(1) == (connections: 0, bytes: 0))
        table.tellHeldByLanes()
        #expect(lane.wasTold == 1 && !table.isEmpty)
    }

    @Test("At most 256 connections give back in one turn of the loop")
    func bound() {
        let table = ConnectionTable()
        for _ in 0..<300 { _ = HoldingLane(in: table, holds: 1) }
        #expect(table.relieve(.max) == (connections: 256, bytes: 256))
        #expect(table.relieve(.max) == (connections: 44, bytes: 44))
    }

    @Test("Connections that leave while they are cut do not disturb the others")
    func cut() {
        let table = ConnectionTable()
        for _ in 0..<10 { _ = HoldingLane(in: table, holds: 1) }
        table.cut()
        #expect(table.isEmpty)
    }

    @Test("Connections are let go of in slices of the loop")
    func drain() {
        let loop = EmbeddedEventLoop()
        let table = ConnectionTable()
        for _ in 0..<10 { _ = HoldingLane(in: table, holds: 1) }
        table.drain(in: LoopSlices(loop: loop))
        #expect(table.lanes.count == 10)
        loop.advanceTime(by: .milliseconds(10))
        #expect(table.isEmpty)
    }
}

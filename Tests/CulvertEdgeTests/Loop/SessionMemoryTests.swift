import Testing

@testable import CulvertEdge

@Suite("What sessions and requests hold together")
struct SessionMemoryTests {
    @Test("What is about to go is used, and is not too much")
    func leaving() {
        let memory = SessionMemory()
        _ = memory.add(300)
        #expect(memory.excess(over: 100) == 200 && memory.excessOfSessions(over: 100) == 200)
        memory.addLeaving(250)
        #expect(memory.used == 300 && memory.excess(over: 100) == -50 && memory.excessOfSessions(over: 100) == -50)
        _ = memory.add(-250)
        memory.addLeaving(-250)
        #expect(memory.used == 50 && memory.leaving == 0)
    }

    @Test("What connections hold is not the sessions', until a session uses the connection")
    func handsToSession() {
        let memory = SessionMemory()
        _ = memory.add(100)
        var hold = MemoryHold(memory, isRequest: true)
        _ = hold.set(50)
        #expect(memory.used == 150 && memory.usedBySessions == 100)
        hold.handToSession()
        hold.handToSession()
        #expect(memory.usedBySessions == 150)
        _ = hold.set(70)
        #expect(memory.used == 170 && memory.usedBySessions == 170)
        hold.release()
        #expect(memory.used == 100 && memory.usedBySessions == 100)
    }
}

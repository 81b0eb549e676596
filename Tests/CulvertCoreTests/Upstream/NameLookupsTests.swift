import NIOCore
import Testing

@testable import CulvertCore

@Suite("Look-ups of names")
struct NameLookupsTests {
    private static let start = NIODeadline.uptimeNanoseconds(1)

    /// A resolver's bookkeeping at a clock that stands until it is set.
    private struct Desk {
        var lookups: NameLookups<String>
        var now = NameLookupsTests.start

        init(all: Int = 4, unproven: Int = 3, slow: Int = 2) {
            var bounds = NameLookups<String>.Bounds()
            (bounds.all, bounds.unproven, bounds.slow) = (all, unproven, slow)
            self.lookups = NameLookups(bounds: bounds)
        }

        mutating func ask(_ name: String, _ waiter: String = "x") -> (ticket: NameLookups<String>.Ticket, begins: Bool) {
            self.lookups.ask(name, for: waiter, now: self.now)
        }

        /// Whether the look-up of its name had begun; nil for one that has left already.
        mutating func leave(_ ticket: NameLookups<String>.Ticket) -> Bool? { self.lookups.leave(ticket)?.hasBegun }

        /// The look-ups that begin with the end of this one.
        mutating func end(_ name: String) -> [String] {
            self.lookups.ended(name, hasAnswered: true, now: self.now).begin
        }

        /// Has `names` looked up in `time`.
        mutating func teach(_ names: [String], time: TimeAmount) {
            for name in names {
                #expect(self.ask(name).begins)
                self.now = self.now + time
                #expect(self.end(name).isEmpty)
            }
        }
    }

    @Test("All who ask while a look-up of the name is under way share it, and those who come later do not")
    func shared() {
        var desk = Desk()
        let first = desk.ask("a", "1")
        let second = desk.ask("a", "2")
        #expect(first.begins && !second.begins && desk.lookups.running == 1)
        let ended = desk.lookups.ended("a", hasAnswered: true, now: desk.now)
        #expect(Set(ended.waiters) == ["1", "2"] && ended.begin.isEmpty)
        #expect(desk.leave(first.ticket) == nil)
        let third = desk.ask("a", "3")
        #expect(third.begins)
        // A ticket of before opens nothing.
        #expect(desk.leave(second.ticket) == nil)
        #expect(desk.leave(third.ticket) == true)
    }

    @Test("Who leaves is told whether the look-up had begun, and is not told of its end")
    func leaving() {
        var desk = Desk(all: 1, unproven: 1, slow: 1)
        let running = desk.ask("a")
        let waiting = desk.ask("b")
        #expect(running.begins && !waiting.begins)
        #expect(desk.leave(running.ticket) == true)
        #expect(desk.leave(waiting.ticket) == false)
        #expect(desk.leave(running.ticket) == nil)
        // The name keeps its place: it is looked up for those who ask next.
        #expect(desk.end("a") == ["b"])
        #expect(desk.lookups.ended("b", hasAnswered: true, now: desk.now).waiters.isEmpty)
        #expect(desk.lookups.running == 0)
    }

    @Test("Names of the same kind are looked up in the order they came, and never more than the bound")
    func line() {
        var desk = Desk(all: 2, unproven: 2, slow: 2)
        let begun = ["a", "b", "c", "d"].filter { desk.ask($0).begins }
        #expect(begun == ["a", "b"])
        #expect(desk.end("b") == ["c"])
        #expect(desk.end("a") == ["d"])
        #expect(desk.lookups.running == 2)
        #expect(desk.end("c").isEmpty && desk.end("d").isEmpty)
    }

    @Test("Names that hang leave room for names that answer, whoever came first")
    func room() {
        var desk = Desk(all: 4, unproven: 3, slow: 2)
        desk.teach(["good", "better"], time: .milliseconds(1))
        desk.teach(["dead1", "dead2", "dead3"], time: .seconds(30))
        let begun = ["dead1", "dead2", "dead3", "new1", "new2", "good", "better"].filter { desk.ask($0).begins }
        // The third that is known to hang leaves a thread to names that nothing is known of, and these one to the
        // known.
        #expect(begun == ["dead1", "dead2", "new1", "good"])
        #expect(desk.end("good") == ["better"])
        #expect(desk.end("better").isEmpty)
        #expect(desk.end("new1") == ["new2"])
        #expect(desk.end("dead2") == ["dead3"])
    }

    @Test("A look-up that has been under way for too long counts as one that hangs before it ends")
    func overdue() {
        var desk = Desk(all: 3, unproven: 2, slow: 1)
        desk.teach(["a", "b", "c"], time: .milliseconds(1))
        desk.teach(["dead"], time: .seconds(30))
        #expect(desk.ask("a").begins)
        desk.now = desk.now + .seconds(3)
        let dead = desk.ask("dead")
        #expect(!dead.begins)
        #expect(desk.ask("b").begins && desk.ask("c").begins)
        #expect(desk.end("a") == ["dead"])
    }

    @Test("A name that has recovered is one that answers again")
    func recovers() {
        var desk = Desk(all: 2, unproven: 2, slow: 1)
        desk.teach(["a", "dead"], time: .seconds(30))
        #expect(desk.ask("dead").begins)
        #expect(!desk.ask("a").begins)
        #expect(desk.end("dead") == ["a"])
        // Its look-up ends at once this time.
        #expect(desk.end("a").isEmpty)
        #expect(desk.ask("dead").begins && desk.ask("a").begins)
    }

    @Test("A look-up that could not be made says nothing of the name")
    func notMade() {
        var desk = Desk(all: 2, unproven: 2, slow: 1)
        desk.teach(["good"], time: .milliseconds(1))
        #expect(desk.ask("good", "w").begins)
        desk.now = desk.now + .seconds(30)
        #expect(desk.lookups.ended("good", hasAnswered: false, now: desk.now).waiters == ["w"])
        desk.teach(["dead"], time: .seconds(30))
        #expect(desk.ask("dead").begins)
        #expect(desk.ask("good").begins)
        #expect(desk.lookups.ended("never asked", hasAnswered: true, now: desk.now).waiters.isEmpty)
    }
}

import CulvertCore
import Testing

@Suite("Waiting line")
struct WaitingLineTests {
    /// Places by name, each taken once.
    private final class Places {
        var free: [String]
        init(_ free: [String]) { self.free = free }

        /// - Parameter refused: what the one who asks cannot use.
        func take(refused: String? = nil) -> String? {
            guard let index = self.free.firstIndex(where: { $0 != refused }) else { return nil }
            return self.free.remove(at: index)
        }
    }

    private static func serve(_ line: inout WaitingLine<String, Int>, _ places: [String]) -> [String] {
        let places = Places(places)
        return line.serve(while: { !places.free.isEmpty }) { _ in places.take() }.map { "\($0.element)@\($0.place)" }
    }

    @Test("Who came first is served first, and who finds no place goes on waiting")
    func order() {
        var line = WaitingLine<String, Int>(limit: 9)
        for name in ["a", "b", "c"] { #expect(line.join(name, as: 0) != nil) }
        #expect(Self.serve(&line, []).isEmpty)
        #expect(Self.serve(&line, ["1", "2"]) == ["a@1", "b@2"])
        #expect(line.count == 1)
        #expect(Self.serve(&line, ["3", "4"]) == ["c@3"])
        #expect(line.count == 0)
    }

    @Test("One that cannot use the place that there is holds up nobody, and keeps its own")
    func passedOver() {
        var line = WaitingLine<String, Int>(limit: 9)
        for name in ["a", "b", "c"] { _ = line.join(name, as: name == "a" ? 1 : 0) }
        let places = Places(["1"])
        let served = line.serve(while: { !places.free.isEmpty }) { places.take(refused: $0 == "a" ? "1" : nil) }
        #expect(served.map(\.element) == ["b"])
        #expect(Self.serve(&line, ["2"]) == ["a@2"])
    }

    @Test("With no room nobody is asked")
    func room() {
        var line = WaitingLine<String, Int>(limit: 9)
        _ = line.join("a", as: 0)
        var asked = 0
        let served = line.serve(while: { false }) { _ -> Int? in
            asked += 1
            return 1
        }
        #expect(served.isEmpty && asked == 0 && line.count == 1)
    }

    @Test("It is no longer than it may be; who leaves makes room")
    func limit() throws {
        var line = WaitingLine<String, Int>(limit: 2)
        let joined = line.join("a", as: 0)
        let first = try #require(joined)
        #expect(line.join("b", as: 0) != nil)
        #expect(line.join("c", as: 0) == nil)
        #expect(line.leave(first) == "a")
        #expect(line.leave(first) == nil)
        #expect(line.join("d", as: 0) != nil)
        #expect(Self.serve(&line, ["1", "2"]) == ["b@1", "d@2"])
    }

    @Test("Who was served cannot leave")
    func served() throws {
        var line = WaitingLine<String, Int>(limit: 2)
        let joined = line.join("a", as: 0)
        let number = try #require(joined)
        #expect(Self.serve(&line, ["1"]) == ["a@1"])
        #expect(line.leave(number) == nil)
    }

    @Test("Closed, it gives back who waited and lets nobody in")
    func close() {
        var line = WaitingLine<String, Int>(limit: 2)
        _ = (line.join("a", as: 0), line.join("b", as: 0))
        #expect(line.close() == ["a", "b"])
        #expect(line.join("c", as: 0) == nil && line.count == 0 && line.close().isEmpty)
    }

    @Test("A line of no length lets nobody in")
    func none() {
        var line = WaitingLine<String, Int>(limit: 0)
        #expect(line.join("a", as: 0) == nil)
    }

    @Test("Whoever leaves is found, in whatever order, and nobody leaves twice")
    func leavesInAnyOrder() throws {
        var line = WaitingLine<Int, Int>(limit: 100)
        var numbers: [WaitingLine<Int, Int>.Number] = []
        for element in 0..<100 {
            let joined = line.join(element, as: element % 3)
            numbers.append(try #require(joined))
        }
        // 37 and 100 share no factor: each index comes once.
        for step in 0..<100 {
            let index = step * 37 % 100
            #expect(line.leave(numbers[index]) == index)
            #expect(line.leave(numbers[index]) == nil)
        }
        #expect(line.count == 0)
    }

    @Test("However many wait for a place that there is not, one of them is asked, and who waits behind them is served")
    func asksOneOfAKind() {
        var line = WaitingLine<Int, Set<Int>>(limit: .max)
        for element in 0..<100_000 { _ = line.join(element, as: [0]) }
        _ = line.join(100_000, as: [1])
        _ = line.join(100_001, as: [0])
        _ = line.join(100_002, as: [])
        var asked: [Int] = []
        for _ in 0..<100 {
            // Server 0 has room for them all.
            let served = line.serve(while: { true }) { element -> Int? in
                asked.append(element)
                return element < 100_000 || element == 100_001 ? nil : 0
            }
            #expect(served.map(\.element) == (asked.count == 3 ? [100_000, 100_002] : []))
        }
        #expect(asked.prefix(3) == [0, 100_000, 100_002])
        #expect(asked.count == 102)
        #expect(line.count == 100_001)
    }

    @Test("Of several kinds, who came first is served first, and closing tells them in that order")
    func orderOverKinds() {
        var line = WaitingLine<Int, Int>(limit: 99)
        for element in 0..<30 { _ = line.join(element, as: element * 7 % 4) }
        var room = 10
        let served = line.serve(while: { room > 0 }) { element -> Int? in
            room -= 1
            return element
        }
        #expect(served.map(\.element) == Array(0..<10))
        #expect(line.close() == Array(10..<30))
    }
}

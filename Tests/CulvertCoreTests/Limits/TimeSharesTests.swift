import Testing

@testable import CulvertCore

@Suite("Shares of time")
struct TimeSharesTests {
    /// Serves lines that always have work, the pieces of which take so long.
    private static func serve(
        _ shares: inout TimeShares, pieces: [Int64], rounds: Int
    ) -> (counts: [Int], times: [Int64]) {
        var counts = pieces.map { _ in 0 }
        var times = pieces.map { _ in Int64(0) }
        for _ in 0..<rounds {
            guard let line = shares.next({ _ in true }) else { break }
            counts[line] += 1
            times[line] += pieces[line]
            shares.charge(line, nanoseconds: pieces[line])
        }
        return (counts, times)
    }

    @Test("Attack: a line of short pieces has as much time as a line of pieces a thousand times as long")
    func lengths() {
        var shares = TimeShares(weights: [1, 1, 1])
        let (counts, times) = Self.serve(&shares, pieces: [2_000_000, 20_000, 2_000], rounds: 50_000)
        print("pieces of each line \(counts), nanoseconds \(times)")
        #expect(times.allSatisfy { abs($0 - times[0]) <= 2_000_000 + times[0] / 100 })
        #expect(counts[0] > 10)
    }

    @Test("A line of twice the weight has twice the time")
    func weights() {
        var shares = TimeShares(weights: [2, 1, 1])
        let (_, times) = Self.serve(&shares, pieces: [1000, 1000, 1000], rounds: 4000)
        #expect(abs(times[0] - times[1] - times[2]) <= 3000)
        #expect(abs(times[1] - times[2]) <= 1000)
    }

    @Test("A line that had no work has saved up nothing, and owes at most its last piece")
    func idle() throws {
        var shares = TimeShares(weights: [1, 1])
        shares.join(0)
        for _ in 0..<1000 {
            #expect(shares.next { $0 == 0 } == 0)
            shares.charge(0, nanoseconds: 1_000_000)
        }
        shares.join(1)
        let (counts, _) = Self.serve(&shares, pieces: [1_000_000, 1_000_000], rounds: 100)
        #expect(abs(counts[0] - counts[1]) <= 2)
    }

    @Test("Pieces too short to measure take turns, and without work no line is chosen")
    func turns() {
        var shares = TimeShares(weights: [2, 1])
        #expect(Self.serve(&shares, pieces: [0, 0], rounds: 100).counts == [50, 50])
        #expect(shares.next { _ in false } == nil)
    }
}

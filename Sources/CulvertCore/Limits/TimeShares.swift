/// Divides the time of a worker among lines of work by the time that their pieces take, not by their number. Otherwise a
/// line of short pieces would get next to nothing beside a line of long ones. Owned by the worker, which tells how long
/// each piece took.
///
/// A line without work saves up no time, and a line owes at most its last piece.
package struct TimeShares: Sendable {
    private let weights: [Int64]
    /// Nanoseconds that each line has had, divided by its weight. A line that gets work begins at ``reached``.
    private var had: [Int64]
    /// The time that the latest choice had had until then.
    private var reached: Int64 = 0

    /// - Parameter weights: of each line, at least 1. A line gets its weight's part of all the weights of lines with work.
    package init(weights: [Int]) {
        self.weights = weights.map { Int64($0) }
        self.had = weights.map { _ in 0 }
    }

    /// The line had no work, and has some now.
    package mutating func join(_ line: Int) { self.had[line] = max(self.had[line], self.reached) }

    /// Chooses the line that has had least, and among equals the first.
    ///
    /// - Parameter hasWork: of a line.
    /// - Returns: nil when no line has work.
    package mutating func next(_ hasWork: (Int) -> Bool) -> Int? {
        var chosen: Int?
        for line in self.had.indices where hasWork(line) {
            if let best = chosen, self.had[best] <= self.had[line] { continue }
            chosen = line
        }
        if let chosen { self.reached = self.had[chosen] }
        return chosen
    }

    /// A piece of the line took so long. A piece counts a nanosecond at least, so that pieces too short to measure take
    /// turns.
    package mutating func charge(_ line: Int, nanoseconds: Int64) {
        self.had[line] += max(0, nanoseconds) / self.weights[line] + 1
    }
}

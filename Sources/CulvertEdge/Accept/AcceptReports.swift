import NIOCore

/// When to tell that accepting pauses: at once, then once in a while for as long as it goes on, and when it is over.
/// All listeners of the process share one.
struct AcceptReports {
    /// Between two lines about one shortage.
    static let period = TimeAmount.seconds(10)
    /// Without a pause for so long, the shortage is over.
    static let calm = TimeAmount.seconds(5)

    enum Line: Equatable {
        /// - Parameter pauses: since the last line.
        case paused(pauses: Int)
        /// - Parameters:
        ///   - pauses: in all.
        ///   - lasted: from the first to the last.
        case over(pauses: Int, lasted: TimeAmount)
    }

    /// The caller's next steps: a line to write, and when to call ``look(at:)``.
    struct Answer: Equatable {
        var line: Line?
        var lookIn: TimeAmount?
    }

    private struct Shortage {
        var began: NIODeadline
        var last: NIODeadline
        var told: NIODeadline
        var pauses = 1
        var untold = 0
    }

    private var shortage: Shortage?

    /// A listener stops accepting for a moment.
    mutating func paused(at now: NIODeadline) -> Answer {
        guard var shortage = self.shortage else {
            self.shortage = Shortage(began: now, last: now, told: now)
            return Answer(line: .paused(pauses: 1), lookIn: Self.calm)
        }
        shortage.last = max(shortage.last, now)
        shortage.pauses += 1
        shortage.untold += 1
        guard now - shortage.told >= Self.period else {
            self.shortage = shortage
            return Answer()
        }
        let line = Line.paused(pauses: shortage.untold)
        shortage.told = now
        shortage.untold = 0
        self.shortage = shortage
        return Answer(line: line)
    }

    mutating func look(at now: NIODeadline) -> Answer {
        guard let shortage = self.shortage else { return Answer() }
        let end = shortage.last + Self.calm
        guard now >= end else { return Answer(lookIn: end - now) }
        self.shortage = nil
        return Answer(line: .over(pauses: shortage.pauses, lasted: shortage.last - shortage.began))
    }
}

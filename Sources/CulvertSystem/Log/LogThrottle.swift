/// Bounds how often one message is written. A peer can cause some warnings for nothing, such as one for each connection
/// to a server that is down; a flood of them must not push other lines out of the log. Lines past the bound are
/// counted.
///
/// Messages are told apart by their text: what differs between two events is in their metadata.
package struct LogThrottle {
    /// Lines of one message that a window lets through.
    package static let linesPerWindow = 100
    /// Milliseconds from a window's first line to its end.
    package static let window: Int64 = 10_000
    /// Messages that have a window of their own. The rest share one.
    private static let messageLimit = 256
    private static let sharedName = "other messages"

    package enum Decision: Equatable, Sendable {
        /// The line is written.
        case write
        /// The line is counted. The first of a window asks the caller to fetch ``ended(at:)`` after ``window``.
        case leaveOut(isFirst: Bool)
    }

    /// Lines that were left out, for a line that says so.
    package struct Summary: Equatable, Sendable {
        package var message: String
        package var count: Int
    }

    private struct Window {
        var began: Int64
        var lines = 0
        var leftOut = 0

        /// A clock that was set back ends the window as well.
        func isOver(at now: Int64) -> Bool { now - self.began >= LogThrottle.window || now < self.began }
    }

    private var windows: [String: Window] = [:]
    /// Counts of lines that ended windows left out, until ``ended(at:)`` fetches them.
    private var summaries: [Summary] = []

    package init() {}

    /// - Parameter now: milliseconds.
    package mutating func admit(_ message: String, at now: Int64) -> Decision {
        let name = self.name(for: message, at: now)
        var window = self.windows[name] ?? Window(began: now)
        if window.isOver(at: now) {
            self.end(window, of: name)
            window = Window(began: now)
        }
        defer { self.windows[name] = window }
        guard window.lines >= Self.linesPerWindow else {
            window.lines += 1
            return .write
        }
        window.leftOut += 1
        return .leaveOut(isFirst: window.leftOut == 1)
    }

    /// Counts of lines that ended windows left out; each is returned once.
    package mutating func ended(at now: Int64) -> [Summary] {
        for (name, window) in self.windows where window.isOver(at: now) {
            self.end(window, of: name)
            self.windows[name] = nil
        }
        return self.takeSummaries()
    }

    /// Counts of lines that all windows left out, also windows that are not over.
    package mutating func finish() -> [Summary] {
        for (name, window) in self.windows { self.end(window, of: name) }
        self.windows = [:]
        return self.takeSummaries()
    }

    private mutating func takeSummaries() -> [Summary] {
        defer { self.summaries = [] }
        return self.summaries.sorted { $0.message < $1.message }
    }

    private mutating func end(_ window: Window, of name: String) {
        guard window.leftOut > 0 else { return }
        if let index = self.summaries.firstIndex(where: { $0.message == name }) {
            self.summaries[index].count += window.leftOut
        } else {
            self.summaries.append(Summary(message: name, count: window.leftOut))
        }
    }

    private mutating func name(for message: String, at now: Int64) -> String {
        if self.windows[message] != nil || self.windows.count < Self.messageLimit { return message }
        for (name, window) in self.windows where window.isOver(at: now) {
            self.end(window, of: name)
            self.windows[name] = nil
        }
        return self.windows.count < Self.messageLimit ? message : Self.sharedName
    }
}

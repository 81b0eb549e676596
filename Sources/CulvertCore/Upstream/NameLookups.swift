import DequeModule
package import NIOCore

/// The names that are being looked up, and those that wait for a thread, each with its callers. Decides when a look-up
/// begins.
///
/// The system's resolver blocks a thread for as long as it takes, and nothing can cancel it. So a name has one look-up
/// at a time, which all callers that want the name share, and the threads have a bound. A name that does not answer
/// must not take the place of a name that does. So the names are sorted into kinds by how their last look-up went, and
/// each kind leaves room for the better kinds.
package struct NameLookups<Waiter: Sendable>: Sendable {
    /// Identifies a caller that waits.
    package struct Ticket: Hashable, Sendable {
        fileprivate var name: String
        fileprivate var number: UInt64
    }

    /// How many look-ups may be under way when another begins.
    package struct Bounds: Equatable, Sendable {
        /// All of them, for a name whose last look-up ended in time.
        package var all = 256
        /// Threads for names that have not been looked up yet, and for slow names.
        package var unproven = 192
        /// The number of threads that slow names may use.
        package var slow = 128
        /// A look-up that takes longer is slow.
        package var patience = TimeAmount.seconds(2)
        /// Most names whose last look-up is remembered.
        package var remembered = 4096

        package init() {}
    }

    private enum Standing {
        case prompt
        case unproven
        case slow
    }

    private let bounds: Bounds
    /// An entry for each name that is being looked up or waits for a thread.
    private var waiters: [String: [UInt64: Waiter]] = [:]
    /// When the look-up of a name began that is under way.
    private var began: [String: NIODeadline] = [:]
    /// Names that wait for a thread, in the order in which they came. A name stays when no caller waits for it any
    /// more: otherwise a name that has recovered might never get to the front before its callers give up.
    private var line: Deque<String> = []
    /// Whether the last look-up of a name ended in time.
    private var wasPrompt: [String: Bool] = [:]
    private var next: UInt64 = 0

    package init(bounds: Bounds = Bounds()) {
        self.bounds = bounds
    }

    /// Look-ups that are under way: each holds a thread.
    package var running: Int { self.began.count }

    /// - Returns: whether a look-up of `name` is to begin now. If not, one is under way, or will be when
    ///   ``ended(_:hasAnswered:now:)`` says so.
    package mutating func ask(_ name: String, for waiter: Waiter, now: NIODeadline) -> (ticket: Ticket, begins: Bool) {
        let ticket = Ticket(name: name, number: self.next)
        self.next &+= 1
        let isNew = self.waiters[name] == nil
        let begins = isNew && self.mayBegin(name, now: now)
        self.waiters[name, default: [:]][ticket.number] = waiter
        if begins {
            self.began[name] = now
        } else if isNew {
            self.line.append(name)
        }
        return (ticket, begins)
    }

    /// - Returns: nil when it has left, or got its answer, already. `hasBegun`: the look-up of its name is under way,
    ///   rather than waiting for a thread.
    package mutating func leave(_ ticket: Ticket) -> (waiter: Waiter, hasBegun: Bool)? {
        guard let waiter = self.waiters[ticket.name]?.removeValue(forKey: ticket.number) else { return nil }
        return (waiter, self.began[ticket.name] != nil)
    }

    /// A look-up that had begun is over.
    ///
    /// - Parameter hasAnswered: false when it could not be made.
    /// - Returns: who waited for it, and the names whose look-ups are to begin now.
    package mutating func ended(
        _ name: String, hasAnswered: Bool, now: NIODeadline
    ) -> (waiters: [Waiter], begin: [String]) {
        guard let began = self.began.removeValue(forKey: name) else { return ([], []) }
        let waiters = self.waiters.removeValue(forKey: name) ?? [:]
        if hasAnswered {
            if self.wasPrompt.count >= self.bounds.remembered { self.wasPrompt = [:] }
            self.wasPrompt[name] = now - began <= self.bounds.patience
        }
        var begin: [String] = []
        for other in self.line where self.mayBegin(other, now: now) {
            self.began[other] = now
            begin.append(other)
        }
        if !begin.isEmpty { self.line.removeAll { self.began[$0] != nil } }
        return (Array(waiters.values), begin)
    }

    private func mayBegin(_ name: String, now: NIODeadline) -> Bool {
        guard self.began.count < self.bounds.all else { return false }
        let standing = self.standing(name, began: nil, now: now)
        guard standing != .prompt else { return true }
        let others = self.began.map { self.standing($0.key, began: $0.value, now: now) }
        guard others.count(where: { $0 != .prompt }) < self.bounds.unproven else { return false }
        return standing == .unproven || others.count(where: { $0 == .slow }) < self.bounds.slow
    }

    private func standing(_ name: String, began: NIODeadline?, now: NIODeadline) -> Standing {
        if let began, now - began > self.bounds.patience { return .slow }
        return switch self.wasPrompt[name] {
        case true?: .prompt
        case false?: .slow
        case nil: .unproven
        }
    }
}

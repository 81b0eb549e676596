import Glibc

/// How many descriptors the process may open: two for each native session.
package enum FileDescriptors {
    /// What a process needs beside its sessions: listeners, event loops, logs, connections that are no session.
    private static let reserve = 256

    /// The soft limit; nil when the system does not tell.
    package static var limit: Int? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
        return Int(clamping: limit.rlim_cur)
    }

    /// Raises the soft limit to the hard one; servers are often started with 1024.
    ///
    /// - Returns: the limit now in force; nil when the system does not tell.
    package static func raiseLimit() -> Int? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
        if limit.rlim_cur < limit.rlim_max {
            let soft = limit.rlim_cur
            limit.rlim_cur = limit.rlim_max
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 { limit.rlim_cur = soft }
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// For the end of a message about a file that cannot be opened, by code that does not say why: empty unless the
    /// process has no descriptor left.
    package static var note: String {
        let budget = DescriptorBudget.process
        guard budget.lowestFree() >= budget.bounds.limit else { return "" }
        return " (no file descriptor is free: the process may have \(budget.bounds.limit))"
    }

    /// Descriptors for so many sessions.
    package static func needed(sessions: Int) -> Int {
        let (sum, overflow) = sessions.multipliedReportingOverflow(by: 2)
        return overflow ? .max : sum + min(self.reserve, .max - sum)
    }
}

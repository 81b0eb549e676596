import Glibc

/// How many descriptors the process may open: two for each native session.
enum FileDescriptors {
    /// What a process needs beside its sessions: listeners, event loops, logs, connections that are no session.
    private static let reserve = 256

    /// Raises the soft limit to the hard one; servers are often started with 1024.
    ///
    /// - Returns: the limit now in force; nil when the system does not tell.
    static func raiseLimit() -> Int? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
        if limit.rlim_cur < limit.rlim_max {
            let soft = limit.rlim_cur
            limit.rlim_cur = limit.rlim_max
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 { limit.rlim_cur = soft }
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// Descriptors for so many sessions.
    static func needed(sessions: Int) -> Int {
        let (sum, overflow) = sessions.multipliedReportingOverflow(by: 2)
        return overflow ? .max : sum + min(self.reserve, .max - sum)
    }
}

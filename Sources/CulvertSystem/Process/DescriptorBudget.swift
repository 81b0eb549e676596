import Glibc
import NIOCore
import Synchronization

/// How the process's descriptors are shared out when they run short. The highest numbers are kept: first for
/// connections to upstreams, so that clients that were accepted get sessions, and above those for the control plane, so
/// that the admin listener answers, the database writes and a reload reads its files while a flood holds all others.
///
/// The kernel gives the lowest number that is free. A number at or above a bound therefore says that everything below
/// it is in use, whatever uses it.
package final class DescriptorBudget: Sendable {
    /// The budget of the process, which RLIMIT_NOFILE bounds.
    package static let process = DescriptorBudget()

    private let limit: Atomic<Int>
    /// Questions that are answered without a look, since the last look found plenty.
    private let unasked = Atomic<Int>(0)
    private static let mostUnasked = 16

    /// - Parameter limit: as for RLIMIT_NOFILE; nil reads it.
    package init(limit: Int? = nil) {
        self.limit = Atomic(limit ?? FileDescriptors.limit ?? .max)
    }

    /// Reads the limit again: it is raised at the start, and an operator may change it with prlimit(1).
    package func update() {
        if let limit = FileDescriptors.limit { self.limit.store(limit, ordering: .relaxed) }
    }

    package struct Bounds: Sendable, Equatable {
        package var limit: Int
        /// The first number that is not a client's.
        package var clients: Int
        /// The first number that is not an upstream's either.
        package var upstreams: Int
        /// Connections of the admin listener. They leave some of the control plane's descriptors to its files.
        package var control: Int { max(4, self.limit - self.upstreams - 4) }

        /// - Parameter limit: as for RLIMIT_NOFILE.
        package init(limit: Int) {
            self.limit = limit
            // An eighth, but no more than a few hundred: what the control plane opens does not grow with the limit.
            let reserve = min(256, max(8, limit / 8))
            self.clients = limit - reserve
            self.upstreams = limit - reserve / 2
        }
    }

    package var bounds: Bounds { Bounds(limit: self.limit.load(ordering: .relaxed)) }

    /// The number that a descriptor would get that is opened now; the limit when there is none.
    package func lowestFree() -> Int { Self.lowestFree() ?? self.bounds.limit }

    private static func lowestFree() -> Int? {
        // Any open descriptor would do; standard error is open for as long as the process is.
        let descriptor = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)
        guard descriptor >= 0 else { return nil }
        close(descriptor)
        return Int(descriptor)
    }

    /// Whether the descriptor that was opened last leaves `bound` and all above it free. Most answers cost no system call:
    /// each question comes with a descriptor or two, so that a few questions later there is still plenty.
    ///
    /// - Parameter none: the answer where there is no descriptor at all.
    package func isFree(from bound: Int, none: Bool) -> Bool {
        if self.unasked.load(ordering: .relaxed) > 0 {
            self.unasked.wrappingSubtract(1, ordering: .relaxed)
            return true
        }
        guard let free = Self.lowestFree() else { return none }
        if bound >= 512, free < bound / 2 { self.unasked.store(Self.mostUnasked, ordering: .relaxed) }
        return free <= bound
    }

    /// Refuses a connection to an upstream that would use what is kept for the control plane. On its event loop, in the
    /// channel's initializer.
    ///
    /// - Throws: an `IOError` as the system throws one when there are no descriptors at all (EMFILE): the fault is this
    ///   process's, and not the server's.
    package func checkUpstream() throws {
        guard !self.isFree(from: self.bounds.upstreams, none: false) else { return }
        throw IOError(errnoCode: EMFILE, reason: "the last file descriptors are kept for the control plane")
    }
}

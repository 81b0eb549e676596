import Foundation
import NIOCore
import NIOPosix

enum EventLoops {
    /// One event loop for each CPU that the process may run on, which taskset and containers make fewer than the
    /// machine has: loops that share a CPU only take turns. A session's identifier has a byte for its loop.
    ///
    /// Must come before the first use of the shared group.
    static func fitToProcess() {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let allowed = self.allowedCPUs(status: status) ?? .max
        NIOSingletons.groupLoopCountSuggestion = min(System.coreCount, allowed, 255)
    }

    /// Of proc(5): `Cpus_allowed` is a mask in hexadecimal digits, with commas.
    static func allowedCPUs(status: String) -> Int? {
        guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("Cpus_allowed:") }) else {
            return nil
        }
        let count = line.split(separator: ":").last?.reduce(0) { $0 + ($1.hexDigitValue?.nonzeroBitCount ?? 0) } ?? 0
        return count > 0 ? count : nil
    }
}

import Glibc

/// A shortage of this machine that keeps it from making a connection. It tells nothing of the server.
enum EdgeShortage {
    /// - Parameter codes: `errno` of each address that was tried.
    /// - Returns: nil when the attempts failed for another reason.
    static func reason(_ codes: [CInt]) -> String? {
        for code in codes {
            switch code {
            case EMFILE: return "out of file descriptors: the process may have \(self.descriptorLimit)"
            case ENFILE: return "out of file descriptors: the system has no more"
            case ENOMEM, ENOBUFS: return "out of memory for sockets"
            default: continue
            }
        }
        // A machine without IPv6 has no local address for ::1, and `localhost` is both. So it is a shortage only when
        // no address was reachable far enough to answer.
        let unreachable: Set<CInt> = [EADDRNOTAVAIL, EAFNOSUPPORT, ENETUNREACH]
        if codes.contains(EADDRNOTAVAIL), codes.allSatisfy(unreachable.contains) {
            return "no local address or port is left for a connection"
        }
        return nil
    }

    /// Why no descriptor is free now; nil when one is.
    static func ofDescriptors() -> String? {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return self.reason([errno]) }
        close(descriptor)
        return nil
    }

    private static var descriptorLimit: String {
        var limit = rlimit()
        return getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 ? "\(limit.rlim_cur)" : "no more"
    }
}

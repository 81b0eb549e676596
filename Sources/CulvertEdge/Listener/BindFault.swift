import Glibc
import NIOCore

/// Says why a socket cannot be bound to an address of the configuration, and what the operator can do.
package enum BindFault {
    /// - Parameter socket: the path of a Unix socket; nil for an address of TCP.
    package static func words(_ error: any Error, socket: String? = nil) -> String {
        guard let error = error as? IOError else { return ConnectionFault.words(error, of: .listener) }
        let reason = String(cString: strerror(error.errnoCode))
        if let socket { return "\(socket): \(reason)\(self.remedy(error.errnoCode))" }
        switch error.errnoCode {
        case EADDRINUSE: return "\(reason); stop the process that listens there, or choose another port"
        case EACCES:
            return "\(reason); binding a port below 1024 needs root or CAP_NET_BIND_SERVICE; grant it to the service, "
                + "or choose another port"
        case EADDRNOTAVAIL: return "\(reason); no interface of this machine has the address: correct it"
        default: return reason
        }
    }

    /// Gives the remedy for a Unix socket; for the end of the message.
    private static func remedy(_ code: CInt) -> String {
        switch code {
        case EPROTOTYPE:
            "; another program has a socket of another kind there: stop that program, or choose another path"
        case EACCES, EPERM:
            "; uid \(geteuid()), as which this process runs, may not use the socket that is there: run this as the user "
                + "of the process that listens on it, or choose another path"
        case ENOENT, ENOTDIR: "; make its folder, or choose another path"
        default: "; choose another path"
        }
    }
}

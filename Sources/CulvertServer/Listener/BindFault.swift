import Glibc
import NIOCore

/// Says why a socket cannot be bound to an address of the configuration, and what the operator can do.
package enum BindFault {
    package static func words(_ error: any Error) -> String {
        guard let error = error as? IOError else { return ConnectionFault.words(error) }
        let reason = String(cString: strerror(error.errnoCode))
        switch error.errnoCode {
        case EADDRINUSE: return "\(reason); stop the process that listens there, or choose another port"
        case EACCES:
            return "\(reason); a port below 1024 takes root or CAP_NET_BIND_SERVICE: give the service that, or choose "
                + "another port"
        case EADDRNOTAVAIL: return "\(reason); no interface of this machine has the address: correct it"
        default: return reason
        }
    }
}

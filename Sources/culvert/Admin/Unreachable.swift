import AsyncHTTPClient
import CulvertServer
import Glibc
import NIOCore
import NIOPosix

/// Says why a request got no answer, in words of the system or in plain words.
enum Unreachable {
    static func reason(_ error: any Error) -> String {
        switch error {
        case let error as IOError: return String(cString: strerror(error.errnoCode))
        case let error as NIOConnectionError:
            if let first = error.connectionErrors.first { return self.reason(first.error) }
            return "no address is known for \(error.host)"
        case let error as HTTPClientError:
            switch error {
            case .connectTimeout, .deadlineExceeded, .readTimeout: return "no answer in time"
            case .remoteConnectionClosed: return "the connection was closed before an answer came"
            default: return ConnectionFault.words(error, of: .command)
            }
        default: return ConnectionFault.words(error, of: .command)
        }
    }

    /// What the operator can do, for the end of the message. Empty for a fault of TLS: a server does listen there, and
    /// the reason itself says what to do.
    static func remedy(_ error: any Error) -> String {
        if let error = error as? NIOConnectionError, let first = error.connectionErrors.first {
            return self.remedy(first.error)
        }
        return ConnectionFault.isOfTLS(error) ? "" : "; see that Culvert runs, and that this is its admin.address"
    }
}

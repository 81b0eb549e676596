import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix

/// Says in words why a connection failed: for the log, the admin API and the command, which show them to operators. The
/// text of an error that a framework has made is the name of its case, or quotes a path of the build machine.
package enum ConnectionFault {
    /// - Parameter role: the end of the connection that had the error.
    package static func words(_ error: any Error, of role: TLSFault.Role = .upstream) -> String {
        if let reason = TLSFault.reason(error, of: role) { return reason }
        switch error {
        case let error as IOError: return String(cString: strerror(error.errnoCode))
        case let error as NIOConnectionError:
            // The addresses of one name mostly fail alike.
            guard let first = error.connectionErrors.first else {
                return "no address of the name \(error.host) is known"
            }
            return self.words(first.error, of: role)
        case let error as SocketAddressError.UnknownHost:
            return "the name \(error.host) cannot be looked up: \(error.errorDescription)"
        case ChannelError.connectTimeout: return "no connection in time"
        case is ChannelError: return "the connection was closed"
        case is HTTPParserError: return "the answer is not HTTP/1.1"
        default: return self.isOurs(error) ? "\(error)" : "an error that has no description (\(type(of: error)))"
        }
    }

    /// Whether TLS failed with a server that could be connected to.
    package static func isOfTLS(_ error: any Error) -> Bool {
        error is PeerName.Mismatch || TLSFault.reason(error) != nil
    }

    /// Errors of this package say in their descriptions what an operator can read.
    private static func isOurs(_ error: any Error) -> Bool {
        String(reflecting: type(of: error)).utf8.starts(with: "Culvert".utf8)
    }
}

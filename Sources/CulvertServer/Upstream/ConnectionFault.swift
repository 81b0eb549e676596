import NIOCore
import NIOHTTP1
import NIOPosix

/// Says in words why a connection failed: for the log, the admin API and the command, which show them to operators. The
/// text of an error that a framework has made is the name of its case, or quotes a path of the build machine.
package enum ConnectionFault {
    package static func words(_ error: any Error) -> String {
        if let reason = TLSFault.reason(error) { return reason }
        switch error {
        case let error as IOError: return error.description
        case let error as NIOConnectionError:
            // The addresses of one name mostly fail alike.
            guard let first = error.connectionErrors.first else {
                return "no address of the name \(error.host) is known"
            }
            return self.words(first.error)
        case ChannelError.connectTimeout: return "no connection in time"
        case is ChannelError: return "the connection was closed"
        case is HTTPParserError: return "the answer is no HTTP/1.1"
        default: return self.isOurs(error) ? "\(error)" : "the connection failed (\(type(of: error)))"
        }
    }

    /// Errors of this package say in their descriptions what an operator can read.
    private static func isOurs(_ error: any Error) -> Bool {
        error is any CustomStringConvertible && String(reflecting: type(of: error)).utf8.starts(with: "Culvert".utf8)
    }
}

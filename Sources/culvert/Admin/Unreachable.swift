import AsyncHTTPClient
import CulvertEdge
import Foundation
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
            default: return "the request failed: \(error.shortDescription)"
            }
        default: return ConnectionFault.words(error, of: .command)
        }
    }

    /// The whole path of `unix:PATH`.
    static func socketPath(_ url: String) -> String { URL(filePath: String(url.dropFirst(5))).path }

    /// Why the socket of `unix:PATH` cannot be found, in the system's words. Nil for a socket that is there, on which
    /// nobody listens, and for another URL.
    static func missingSocket(of url: String) -> String? {
        guard url.hasPrefix("unix:"), access(self.socketPath(url), F_OK) != 0 else { return nil }
        return String(cString: strerror(errno))
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

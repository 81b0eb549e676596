import Glibc
package import NIOCore

/// Checks a socket that another process has opened.
extension ListeningSocket {
    /// A socket that is not what it was handed over as.
    package struct Misfit: Error, CustomStringConvertible {
        package var description: String
    }

    /// - Parameter address: where it is to listen; port 0 stands for any.
    /// - Throws: ``Misfit`` for anything but a stream socket that listens there.
    package static func check(_ descriptor: CInt, listensAt address: SocketAddress) throws {
        let wanted = address.host ?? address.pathname ?? "an address"
        guard self.option(SO_TYPE, of: descriptor) == CInt(SOCK_STREAM.rawValue) else {
            throw Misfit(description: "the socket that was handed over for \(wanted) is no stream socket")
        }
        // A connection has the address of its listener, too.
        guard self.option(SO_ACCEPTCONN, of: descriptor) == 1 else {
            throw Misfit(description: "the socket that was handed over for \(wanted) does not listen")
        }
        let found = self.address(of: descriptor)
        let isThere =
            switch address {
            case .unixDomainSocket: found?.pathname == address.pathname
            default:
                found?.ipAddress == address.ipAddress && found?.protocol == address.protocol
                    && (address.port == 0 || found?.port == address.port)
            }
        guard isThere, found != nil else {
            let place = found.map { $0.host ?? $0.pathname ?? "" } ?? "an address of another family"
            throw Misfit(description: "the socket that was handed over for \(wanted) listens at \(place)")
        }
    }

    /// Whether a descriptor is open and a socket of any kind.
    package static func isSocket(_ descriptor: CInt) -> Bool { self.option(SO_TYPE, of: descriptor) != nil }

    private static func option(_ name: CInt, of descriptor: CInt) -> CInt? {
        var value: CInt = 0
        var size = socklen_t(MemoryLayout<CInt>.size)
        return getsockopt(descriptor, SOL_SOCKET, name, &value, &size) == 0 ? value : nil
    }

    /// The address at which a socket is bound; nil if it is none of IPv4, IPv6 and Unix.
    static func address(of descriptor: CInt) -> SocketAddress? {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutableBytes(of: &storage) { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) { getsockname(descriptor, $0.baseAddress, &size) }
        }
        guard result == 0 else { return nil }
        let family = CInt(storage.ss_family)
        return withUnsafeBytes(of: storage) { bytes -> SocketAddress? in
            switch family {
            case AF_INET: return SocketAddress(bytes.loadUnaligned(as: sockaddr_in.self))
            case AF_INET6: return SocketAddress(bytes.loadUnaligned(as: sockaddr_in6.self))
            case AF_UNIX:
                // The path ends with the address, or with a zero before.
                let start = MemoryLayout<sa_family_t>.size
                let path = bytes.prefix(min(Int(size), bytes.count)).dropFirst(start).prefix { $0 != 0 }
                return try? SocketAddress(unixDomainSocketPath: String(decoding: path, as: UTF8.self))
            default: return nil
            }
        }
    }
}

import NIOCore

extension String {
    package var isIPAddress: Bool { (try? SocketAddress(ipAddress: self, port: 0)) != nil }
}

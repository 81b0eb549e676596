package import NIOCore

/// The header in which a proxy names the client of a connection: the PROXY protocol of HAProxy's proxy-protocol.txt, in
/// both of its versions.
package enum ProxyHeader: Equatable, Sendable {
    /// 1 is a line of text, 2 is binary.
    package enum Version: String, Sendable, CaseIterable {
        case v1
        case v2
    }

    /// An end of a connection: an address and a port.
    package struct Node: Equatable, Sendable {
        package var address: IPAddress
        package var port: UInt16

        package init(address: IPAddress, port: UInt16) {
            self.address = address
            self.port = port
        }
    }

    /// A connection of the proxy's own, such as a health check. Version 1 can only write UNKNOWN for it.
    case local
    /// A connection of a client whose address the header does not tell.
    case unknown
    case proxied(source: Node, destination: Node)

    static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    /// Both ends are of one family on the wire: of two families, the IPv4 address is written in its mapped form (RFC
    /// 4291 2.5.5.2).
    package func write(_ version: Version, into buffer: inout ByteBuffer) {
        switch version {
        case .v1: self.writeText(into: &buffer)
        case .v2: self.writeBinary(into: &buffer)
        }
    }

    private func writeText(into buffer: inout ByteBuffer) {
        guard case .proxied(let source, let destination) = self else {
            buffer.writeStaticString("PROXY UNKNOWN\r\n")
            return
        }
        let isIPv4 = source.address.isIPv4 && destination.address.isIPv4
        let from = isIPv4 ? source.address.description : source.address.textAsIPv6
        let to = isIPv4 ? destination.address.description : destination.address.textAsIPv6
        buffer.writeString("PROXY \(isIPv4 ? "TCP4" : "TCP6") \(from) \(to) \(source.port) \(destination.port)\r\n")
    }

    private func writeBinary(into buffer: inout ByteBuffer) {
        buffer.writeBytes(Self.signature)
        guard case .proxied(let source, let destination) = self else {
            buffer.writeBytes([self == .local ? 0x20 : 0x21, 0x00, 0, 0])
            return
        }
        let isIPv4 = source.address.isIPv4 && destination.address.isIPv4
        buffer.writeBytes([0x21, isIPv4 ? 0x11 : 0x21, 0, isIPv4 ? 12 : 36])
        for node in [source, destination] { buffer.writeBytes(node.address.bytes(asIPv4: isIPv4)) }
        for node in [source, destination] { buffer.writeInteger(node.port) }
    }
}

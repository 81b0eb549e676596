import CulvertCore
import CulvertSystem
import NIOCore

/// Writes a PROXY header in front of all else on a connection to a server, TLS too, and leaves.
final class ProxyHeaderSender: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let header: ProxyHeader
    private let version: ProxyHeader.Version

    init(_ header: ProxyHeader, _ version: ProxyHeader.Version) {
        self.header = header
        self.version = version
    }

    func channelActive(context: ChannelHandlerContext) {
        var buffer = context.channel.allocator.buffer(capacity: 128)
        self.header.write(self.version, into: &buffer)
        context.write(self.wrapOutboundOut(buffer), promise: nil)
        // Bytes that the handlers behind write now are sent together with the header.
        context.fireChannelActive()
        context.flush()
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }
}

extension ClientFacts {
    /// The client, and the edge's end of its connection.
    var proxyHeader: ProxyHeader {
        guard let client = IPAddress(self.address), let edge = self.edge,
            let address = edge.ipAddress.flatMap({ IPAddress($0) })
        else { return .unknown }
        return .proxied(
            source: ProxyHeader.Node(address: client, port: self.port),
            destination: ProxyHeader.Node(address: address, port: UInt16(clamping: edge.port ?? 0)))
    }
}

import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOHTTPCompression

/// Compresses what is served many times, once: docs/decisions/0008-compress-once.md.
enum Gzip {
    /// NIO's compressor is a handler for bodies of requests: it is given one, and its answer is taken off the other end
    /// of a channel that has no socket.
    ///
    /// - Returns: nil when it cannot be done.
    static func compress(_ bytes: ByteBuffer) -> ByteBuffer? {
        let channel = EmbeddedChannel(handler: NIOHTTPRequestCompressor(encoding: .gzip))
        defer { _ = try? channel.finish() }
        let head = HTTPRequestHead(version: .http1_1, method: .PUT, uri: "/")
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        channel.write(HTTPClientRequestPart.body(.byteBuffer(bytes)), promise: nil)
        channel.write(HTTPClientRequestPart.end(nil), promise: nil)
        // Not before the end: a flush within the body costs bytes.
        channel.flush()
        var out = ByteBuffer()
        while let part = try? channel.readOutbound(as: HTTPClientRequestPart.self) {
            if case .body(.byteBuffer(var part)) = part { out.writeBuffer(&part) }
        }
        return out.readableBytes > 0 ? out : nil
    }
}

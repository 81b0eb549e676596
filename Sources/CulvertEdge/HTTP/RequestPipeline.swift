import NIOCore
import NIOHTTP1

/// The size of reads of connections that carry WebSockets.
enum ConnectionReads {
    /// NIO keeps a buffer as large as the largest read until the connection is closed. Larger reads save little.
    static let allocator = AdaptiveRecvByteBufferAllocator(minimum: 64, initial: 2048, maximum: 32 * 1024)
}

/// The handlers of a connection that speaks HTTP/1.1, from bytes to exchanges.
enum RequestPipeline {
    static let encoder = "culvert.http.encoder"
    static let decoder = "culvert.http.decoder"

    /// Reads of a turn. So a client sends at most a read ahead of its answers. NIO keeps as many buffers for a
    /// connection as it may read in a turn, each as large as it once was.
    static let reads: UInt = 1
    /// Most bytes of a read: the connection keeps so much until it is closed, or a WebSocket.
    private static let longestRead = 16 * 1024

    /// Adds `connection` and what it needs behind TLS.
    ///
    /// - Parameter headerLimit: bytes of a header section.
    static func add(_ connection: ClientConnection, to channel: any Channel, headerLimit: Int) throws {
        connection.headerLimit = headerLimit
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: self.reads)
        let reads = AdaptiveRecvByteBufferAllocator(minimum: 64, initial: 2048, maximum: self.longestRead)
        try channel.syncOptions?.setOption(.recvAllocator, value: reads)
        // A client may end its direction behind its last request, and read the answer. The same holds for a WebSocket
        // behind its Close (RFC 6455 7.1.1), and its handlers find the option set.
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(connection.feeder)
        try pipeline.addHandler(HTTPResponseEncoder(), name: self.encoder)
        try pipeline.addHandler(self.makeDecoder(headerLimit: headerLimit), name: self.decoder)
        try pipeline.addHandler(connection)
    }

    /// Puts a new decoder in the place of a decoder that takes no further request.
    ///
    /// - Returns: done when the new decoder is there, a tick later. The decoder must not be fed before that.
    static func renewDecoder(of connection: ClientConnection, on channel: any Channel) -> EventLoopFuture<Void> {
        channel.pipeline.syncOperations.removeHandler(name: self.decoder).assumeIsolated()
            .flatMapThrowing {
                try channel.pipeline.syncOperations.addHandler(
                    self.makeDecoder(headerLimit: connection.headerLimit), name: self.decoder,
                    position: .before(connection))
            }
            .nonisolated()
    }

    private static func makeDecoder(headerLimit: Int) -> ByteToMessageHandler<HTTPRequestDecoder> {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderListSize = headerLimit
        limits.maxHeaderFieldSize = headerLimit
        // The feeder gives it a request and no more, so nothing is left over. Bytes that are would be no part of a
        // request to the connection behind it.
        return ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: limits))
    }
}

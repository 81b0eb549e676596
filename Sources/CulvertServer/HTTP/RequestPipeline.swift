import NIOCore
import NIOHTTP1

/// The handlers of a connection that speaks HTTP/1.1, from bytes to exchanges.
enum RequestPipeline {
    static let encoder = "culvert.http.encoder"
    static let decoder = "culvert.http.decoder"

    /// Reads of a turn. So a client sends at most a read ahead of its answers.
    static let reads: UInt = 1
    /// NIO's own number.
    static let readsOfWebSocket: UInt = 4

    /// Adds `connection` and what it needs behind TLS.
    ///
    /// - Parameter headerLimit: bytes of a header section.
    static func add(_ connection: ClientConnection, to channel: any Channel, headerLimit: Int) throws {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderListSize = headerLimit
        limits.maxHeaderFieldSize = headerLimit
        connection.headerLimit = headerLimit
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: self.reads)
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(connection.feeder)
        try pipeline.addHandler(HTTPResponseEncoder(), name: self.encoder)
        try pipeline.addHandler(
            ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits)),
            name: self.decoder)
        try pipeline.addHandler(connection)
    }
}

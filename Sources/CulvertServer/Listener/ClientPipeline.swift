import NIOCore
import NIOHTTP1
import NIOSSL

/// The handlers of a client's connection before it says what it wants.
enum ClientPipeline {
    static let encoder = "culvert.client.encoder"
    static let decoder = "culvert.client.decoder"
    static let order = "culvert.client.order"

    static func configure(
        _ channel: any Channel, tls: NIOSSLContext?, proxyProtocol: Bool, edge: EdgeContext, state: LoopState
    ) throws {
        let pipeline = channel.pipeline.syncOperations
        if proxyProtocol { try pipeline.addHandler(ProxyHeaderReader(edge: edge, state: state)) }
        if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderListSize = state.rules.config.limits.header
        limits.maxHeaderFieldSize = state.rules.config.limits.header
        try pipeline.addHandler(HTTPResponseEncoder(), name: self.encoder)
        try pipeline.addHandler(
            ByteToMessageHandler(
                HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits)),
            name: self.decoder)
        // One request at a time: the next is read when the last is answered (RFC 9112 9.3.2).
        try pipeline.addHandler(HTTPServerPipelineHandler(), name: self.order)
        try pipeline.addHandler(GateHandler(edge: edge, state: state, isSecure: tls != nil))
    }
}

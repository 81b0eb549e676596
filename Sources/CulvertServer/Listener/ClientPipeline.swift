import NIOCore
import NIOHTTP1
import NIOSSL

/// What connections of a listener begin with.
struct ListenerMode: Sendable {
    /// Nil for plain.
    var tls: NIOSSLContext?
    var proxyProtocol = false
}

/// The handlers of a client's connection before it says what it wants.
enum ClientPipeline {
    static let encoder = "culvert.client.encoder"
    static let decoder = "culvert.client.decoder"
    static let arrival = "culvert.client.arrival"
    static let order = "culvert.client.order"

    /// There are as many handshakes under way as there may be: the connection is closed at once.
    struct TooManyHandshakes: Error {}

    static func configure(
        _ channel: any Channel, mode: ListenerMode, edge: EdgeContext, state: LoopState
    ) throws {
        let peer = channel.remoteAddress
        guard let place = edge.admissions.accept(peer: peer?.ipAddress, rules: state.rules) else {
            throw TooManyHandshakes()
        }
        let tls = mode.tls
        let gate = GateHandler(edge: edge, state: state, isSecure: tls != nil, place: place)
        let pipeline = channel.pipeline.syncOperations
        if mode.proxyProtocol { try pipeline.addHandler(ProxyHeaderReader(edge: edge, state: state)) }
        if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderListSize = state.rules.config.limits.header
        limits.maxHeaderFieldSize = state.rules.config.limits.header
        try pipeline.addHandler(ArrivalHandler(gate: gate), name: self.arrival)
        try pipeline.addHandler(HTTPResponseEncoder(), name: self.encoder)
        try pipeline.addHandler(
            ByteToMessageHandler(
                HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits)),
            name: self.decoder)
        // One request at a time: the next is read when the last is answered (RFC 9112 9.3.2).
        try pipeline.addHandler(HTTPServerPipelineHandler(), name: self.order)
        try pipeline.addHandler(gate)
    }
}

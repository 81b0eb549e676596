import CulvertConfig
import CulvertSystem
import NIOCore

/// The handlers of a client's connection before it says what it wants.
enum ClientPipeline {
    /// There are as many handshakes under way as there may be: the connection is closed at once.
    struct TooManyHandshakes: Error {}

    static let tooManyHandshakes: StaticString =
        "connections closed: as many handshakes are under way as the limits allow"

    static func configure(
        _ channel: any Channel, mode: ListenerMode, edge: EdgeContext, state: LoopState
    ) throws {
        let peer = channel.remoteAddress
        guard let place = edge.admissions.accept(peer: peer?.canonicalAddress, rules: state.rules) else {
            edge.notices.warn(Self.tooManyHandshakes)
            throw TooManyHandshakes()
        }
        edge.admissions.count(channel)
        let pipeline = channel.pipeline.syncOperations
        if mode.proxyProtocol {
            try pipeline.addHandler(ProxyHeaderReader(edge: edge, state: state, place: place))
        }
        let front = EdgeFront(
            edge: edge, state: state, isSecure: mode.tls != nil, hsts: mode.tls?.hsts, place: place)
        let connection = ClientConnection(
            owner: front, memory: edge.memory, slices: state.slices, timers: state.timers, dates: state.dates,
            loop: state.loop)
        if let tls = mode.tls {
            connection.feeder.tls = try tls.addHandlers(
                before: connection.feeder, to: pipeline, turns: state.tls, line: .handshakes, memory: edge.memory)
        }
        try RequestPipeline.add(connection, to: channel, headerLimit: state.rules.config.limits.header)
    }
}

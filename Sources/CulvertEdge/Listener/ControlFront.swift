import CulvertConfig
import CulvertCore
import NIOCore
package import NIOHTTP1
package import NIOPosix

/// Answers the requests of one connection of the admin API. Used on the connection's event loop.
package protocol ControlFront: AnyObject {
    /// The head of a request is whole.
    func take(_ exchange: Exchange)
    /// Adds the fields that every answer of the admin API has.
    func complete(_ headers: inout HTTPHeaders)
}

extension EdgeServer {
    /// Most bytes of the header section of a request to the admin API.
    private static let controlHeaderLimit = 16 * 1024

    /// Gives the bootstrap of the admin API's listener. Its connections are connections of the edge: they have the
    /// edge's TLS and HTTP, deadlines of their own and a place in the edge's count of memory. A ``ControlFront`` answers
    /// their requests.
    ///
    /// - Parameters:
    ///   - tls: gives the TLS of the next connection, nil for none. Called on the connection's event loop.
    ///   - makeFront: makes the front of a connection. Called on the connection's event loop.
    package func controlBootstrap(
        group: MultiThreadedEventLoopGroup, tls: @escaping @Sendable () -> ServerTLS?,
        makeFront: @escaping @Sendable (ControlConnections.Entry) -> any ControlFront
    ) -> ServerBootstrap {
        let edge = self.edge
        let accepts = edge.accepts
        let connections = ControlConnections(notices: edge.notices, accepts: accepts)
        return ServerBootstrap(group: group)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptGate(.control, watch: accepts))
                }
            }
            .serverChannelOption(.maxMessagesPerRead, value: AcceptGate.connectionsPerTurn)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 16 * 1024, high: 64 * 1024))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let entry = connections.add(channel), let state = edge.state(of: channel.eventLoop) else {
                        throw ClientPipeline.TooManyHandshakes()
                    }
                    let context = tls()
                    let owner = ControlOwner(makeFront(entry), hsts: context?.hsts)
                    let connection = ClientConnection(
                        owner: owner, memory: edge.memory, slices: state.slices, timers: state.timers,
                        dates: state.dates, loop: channel.eventLoop)
                    connection.feeder.tls = try context?.addHandlers(
                        before: connection.feeder, to: channel.pipeline.syncOperations, turns: state.tls,
                        line: .control, memory: edge.memory)
                    try RequestPipeline.add(connection, to: channel, headerLimit: Self.controlHeaderLimit)
                }
            }
    }
}

/// The edge's side of a connection of the admin API: its bounds, and the front that answers its requests. Used on the
/// connection's event loop.
private final class ControlOwner: ConnectionOwner {
    private let front: any ControlFront
    /// The policy of the listener; nil for none.
    private let hsts: StrictTransport?

    init(_ front: any ControlFront, hsts: StrictTransport?) {
        self.front = front
        self.hsts = hsts
    }

    let bounds = ConnectionBounds(
        firstByte: .seconds(10), head: .seconds(10), idle: .seconds(30), rate: 16 * 1024, requests: 10_000)

    /// Bodies of operators are counted, and never refused because others hold too much.
    var memoryCeiling: Int? { nil }

    /// By ``ControlConnections``.
    var isCounted: Bool { true }

    /// No client of the edge fills this line.
    var line: LoopSlices.Line { .control }

    /// Requests of all operators take the same turns.
    func client(on channel: (any Channel)?) -> AddressKey { .none }

    func opened(_ connection: ClientConnection) {}

    func closed(_ connection: ClientConnection) {}

    func received(_ event: Any) {}

    func take(_ exchange: Exchange) { self.front.take(exchange) }

    func complete(_ headers: inout HTTPHeaders) {
        self.front.complete(&headers)
        self.hsts?.add(to: &headers)
    }

    func answered() {}

    /// Refusals are counted of clients alone.
    func refused(_ answer: HTTPAnswer, _ head: HTTPRequestHead?, on connection: ClientConnection) {}

    func relieveMemory() {}
    func makeRoomInMemory() {}

    func note(_ notice: ConnectionNotice) {}
}

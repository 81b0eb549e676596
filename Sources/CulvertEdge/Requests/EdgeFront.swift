import CulvertConfig
import CulvertCore
import CulvertSystem
import NIOCore
import NIOHTTP1

/// The edge behind one client's connection: what is known of the client, its place among the handshakes, and an
/// ``EdgeRequest`` for each exchange.
final class EdgeFront: ConnectionOwner {
    let edge: EdgeContext
    let state: LoopState
    let isSecure: Bool
    /// The listener's `Strict-Transport-Security`; nil for none.
    let hsts: StrictTransport?
    /// The client in the connection's PROXY header; nil without a header, and for the proxy's own connections.
    private(set) var proxied: ProxyHeader.Node?
    /// A PROXY header in front of the connection names no client. Fields of its requests may be a client's own, because
    /// the proxy that sent the header may not read HTTP.
    private(set) var isUnnamed = false
    /// The connection's place among the handshakes. It is held until the client has taken an answer, or a session has
    /// the connection.
    private(set) var place: ConnectionPlace?

    init(edge: EdgeContext, state: LoopState, isSecure: Bool, hsts: StrictTransport?, place: ConnectionPlace) {
        self.hsts = hsts
        self.edge = edge
        self.state = state
        self.isSecure = isSecure
        self.place = place
    }

    /// The connection stops counting as a handshake.
    func releasePlace() { self.place = nil }

    /// The connection goes on as a WebSocket that no session counts, and counts as a handshake.
    ///
    /// - Parameter address: of the client.
    func handOverPlace(address: String) throws(AdmissionDenial) -> ConnectionPlace {
        let place = try self.edge.admissions.upgrade(
            self.place, address: address, limits: self.state.rules.config.limits)
        self.place = nil
        return place
    }

    // MARK: - ConnectionOwner

    var bounds: ConnectionBounds {
        let limits = self.state.rules.config.limits
        return ConnectionBounds(
            firstByte: limits.http.firstByte, head: limits.handshake, idle: limits.http.idle,
            rate: limits.http.bodyRate,
            requests: limits.http.requests)
    }

    var memoryCeiling: Int? { self.state.rules.config.limits.memory }

    var isCounted: Bool { self.place != nil }

    /// A client with a session waits among strangers too, because the gate may not have decided on the request yet, as
    /// with a form.
    var line: LoopSlices.Line { .strangers }

    func opened(_ connection: ClientConnection) { self.state.connections.add(connection) }

    func closed(_ connection: ClientConnection) {
        self.place = nil
        self.state.connectionClosed(connection)
    }

    func received(_ event: Any) {
        switch event as? ProxyHeader {
        case .proxied(let source, _)?: self.proxied = source
        case .local?, .unknown?: self.isUnnamed = true
        case nil: break
        }
    }

    func take(_ exchange: Exchange) { RequestArrival.begin(EdgeRequest(exchange, front: self)) }

    func complete(_ headers: inout HTTPHeaders) {
        if headers["cache-control"].isEmpty { headers.add(name: "Cache-Control", value: "no-store, no-transform") }
        self.hsts?.add(to: &headers)
    }

    func answered() { self.place = nil }

    func relieveMemory() { self.edge.relieveMemory() }

    func makeRoomInMemory() { self.edge.makeRoomInMemory() }

    func note(_ notice: ConnectionNotice) {
        switch notice {
        case .memoryFull: self.edge.notices.warn("requests refused: limits.memory is reached")
        case .lateHandshake:
            self.edge.notices.warn(
                """
                TLS handshakes waited longer than 1 s for their turn or for a place: the event loops are busy, or \
                handshakes that are not ended hold their share of limits.memory
                """)
        case .crowdedHandshake:
            self.edge.notices.warn("TLS handshakes cut for newer ones: together they may hold a quarter of limits.memory")
        case .unreadAnswer: self.edge.notices.warn("connections closed: their clients did not read an answer in time")
        }
    }
}

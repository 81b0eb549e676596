import CulvertConfig
import CulvertCore
import NIOCore
import NIOHTTP1

/// A client's WebSocket handshake that is as it should be, until it is answered with 101. Used on the loop of its
/// request.
struct ClientHandshake {
    private let exchange: Exchange
    /// The listener's `Strict-Transport-Security`; nil for none.
    private let hsts: StrictTransport?
    /// `Sec-WebSocket-Key`.
    let key: String

    /// Nil for a handshake that is not as it should be, which is answered here.
    init?(of request: EdgeRequest) {
        let head = request.head
        let keys = head.headers["sec-websocket-key"]
        let problem = Handshake.check(
            method: head.method.rawValue, version: head.headers["sec-websocket-version"], keys: keys)
        guard problem == nil, let key = keys.first else {
            request.respond(
                problem == .version
                    ? .problem(
                        426, "version", "Only version 13 of the WebSocket protocol is supported.",
                        headers: ["Sec-WebSocket-Version": "13", "Upgrade": "websocket"])
                    : .problem(400, "bad_handshake", "The WebSocket handshake is malformed."))
            return nil
        }
        self.exchange = request.exchange
        self.hsts = request.front.hsts
        self.key = key
    }

    /// `headers` and the fields of the answer to the handshake (RFC 6455 4.2.2).
    func answer(_ headers: HTTPHeaders) -> HTTPHeaders {
        var headers = headers
        headers.add(name: "Upgrade", value: "websocket")
        headers.add(name: "Connection", value: "Upgrade")
        headers.add(name: "Sec-WebSocket-Accept", value: Handshake.acceptKey(for: self.key))
        return headers
    }

    /// Answers 101, and puts `handler` in the place of all that speaks HTTP.
    ///
    /// - Returns: done when the handler is there; nil when the connection is gone or goes now.
    func switchProtocols(to handler: any ChannelHandler, _ headers: HTTPHeaders) -> EventLoopFuture<Void>? {
        var headers = headers
        self.hsts?.add(to: &headers)
        let ready = try? self.exchange.switchProtocols(to: handler, headers)
        if ready == nil { self.exchange.abort() }
        return ready
    }
}

/// The layers under HTTP on the connections of a listener.
struct ListenerMode: Sendable {
    /// Nil for connections without TLS.
    var tls: ServerTLS?
    var proxyProtocol = false
}

import CulvertCore
import NIOCore
import NIOHTTP1

/// Finds the client of a request.
extension EdgeRequest {
    /// The connection's own facts, and what trusted proxies in front tell of the client's request.
    func clientFacts(_ head: HTTPRequestHead) -> ClientFacts {
        let peer = self.peer
        var facts = ClientFacts(
            address: peer.address, port: peer.port, isSecure: self.front.isSecure,
            edge: self.exchange.channel?.localAddress)
        let proxies = self.state.rules.trustedProxies
        // Without a client in the PROXY header the fields may be a client's own.
        guard !proxies.isEmpty, !self.front.isUnnamed else { return facts }
        let headers = head.headers
        let fields = ForwardingFields(
            client: headers["x-forwarded-for"], forwarded: headers["forwarded"],
            scheme: headers["x-forwarded-proto"], host: headers["x-forwarded-host"],
            port: headers["x-forwarded-port"])
        let path = proxies.path(peer: peer.address, forwardedFor: fields.client, forwarded: fields.forwarded)
        let claims = proxies.claims(peer: peer.address, path: path, fields: fields)
        facts.address = path.client
        facts.proxies = path.hops
        if !path.hops.isEmpty { facts.port = 0 }
        facts.isSecure = claims.isSecure ?? facts.isSecure
        (facts.askedHost, facts.askedPort) = (claims.host, claims.port)
        return facts
    }

    /// The connection's peer, or the client in its PROXY header. No field of a request counts here.
    private var peer: (address: String, port: UInt16) {
        if let proxied = self.front.proxied { return (proxied.address.description, proxied.port) }
        let remote = self.exchange.channel?.remoteAddress
        return (remote?.canonicalAddress ?? "unknown", UInt16(clamping: remote?.port ?? 0))
    }
}

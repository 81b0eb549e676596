import CulvertCore
import NIOCore
import NIOHTTP1

extension EdgeRequest {
    var clientFacts: ClientFacts { self.front.clientFacts(self.head.headers, on: self.exchange.channel) }

    /// The key under which the request's work takes turns (``LoopSlices``).
    var client: AddressKey { AddressKey(self.clientFacts.address) }
}

/// Finds the client of a request.
extension EdgeFront {
    /// The connection's own facts, and what trusted proxies in front tell of the client's request.
    ///
    /// - Parameter headers: of the request; none where they could not be decoded.
    func clientFacts(_ headers: HTTPHeaders, on channel: (any Channel)?) -> ClientFacts {
        let peer = self.peer(on: channel)
        var facts = ClientFacts(
            address: peer.address, port: peer.port, isSecure: self.isSecure, edge: channel?.localAddress)
        let proxies = self.state.rules.trustedProxies
        // Without a client in the PROXY header the fields may be a client's own.
        guard !proxies.isEmpty, !self.isUnnamed else { return facts }
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

    /// The key under which the connection's work takes turns (``LoopSlices``).
    func client(on channel: (any Channel)?) -> AddressKey {
        self.proxied?.address.limitKey ?? AddressKey(channel?.remoteAddress?.ipAddress ?? "")
    }

    /// The connection's peer, or the client in its PROXY header. No field of a request counts here.
    private func peer(on channel: (any Channel)?) -> (address: String, port: UInt16) {
        if let proxied = self.proxied { return (proxied.address.description, proxied.port) }
        let remote = channel?.remoteAddress
        return (remote?.canonicalAddress ?? "unknown", UInt16(clamping: remote?.port ?? 0))
    }
}

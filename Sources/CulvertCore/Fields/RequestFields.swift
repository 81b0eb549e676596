/// The fields of a request that have a meaning of their own on its way to an upstream, by their names.
package enum RequestFields {
    /// Fields that concern one connection (RFC 9110 7.6.1), or that Culvert sets itself.
    package static let dropped: FieldNames = [
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "content-length", "content-type", "expect", "host", "cookie", "authorization",
        "sec-websocket-key", "sec-websocket-version", "sec-websocket-accept", "sec-websocket-protocol",
        "sec-websocket-extensions", "accept-encoding",
    ]

    /// Fields beside `X-Forwarded-…` by which proxies tell of a client, and by which backends that were made to stand
    /// behind one know it. From a client each of them is a forgery. Culvert says the same in the fields that it sets.
    package static let ofProxies: FieldNames = [
        "forwarded", "x-forwarded", "forwarded-for", "x-original-forwarded-for", "x-vercel-forwarded-for",
        // The client's address.
        "x-real-ip", "true-client-ip", "client-ip", "x-client-ip", "x-cluster-client-ip", "x-remote-ip",
        "x-remote-addr", "remote-addr", "x-originating-ip", "proxy-client-ip", "wl-proxy-client-ip",
        "cf-connecting-ip", "cf-connecting-ipv6", "cf-pseudo-ipv4", "fastly-client-ip", "fly-client-ip",
        "do-connecting-ip", "x-appengine-user-ip", "x-azure-clientip", "x-azure-socketip", "x-envoy-external-address",
        // The path and the host. The gate has judged those of the request itself.
        "x-original-url", "x-rewrite-url", "x-original-uri", "x-envoy-original-path", "x-original-host", "x-host",
        "x-http-host-override",
        // The scheme.
        "x-url-scheme", "x-scheme", "front-end-https",
    ]

    /// Whether a field of this name, in any spelling that upstreams fold together, has another meaning than the
    /// identity of the client: it belongs to the connection, the handshake, the message or the way of the request.
    package static func isReserved(_ name: String) -> Bool {
        self.dropped.includes(name) || self.ofProxies.includes(name) || self.alsoReserved.includes(name)
    }

    private static let alsoReserved: FieldNames = [
        "cdn-loop",
        "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "origin",
        "set-cookie", "content-encoding", "content-range", "via", "max-forwards", "range", "date", "culvert-session",
    ]
}

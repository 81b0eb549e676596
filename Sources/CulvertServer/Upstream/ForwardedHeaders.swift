import CulvertCore
import NIOCore
import NIOHTTP1

/// What the client is known by on the way upstream.
struct ClientFacts: Sendable {
    /// Without the port.
    var address: String
    /// 0 when only a header told of the client.
    var port: UInt16 = 0
    /// Trusted ones that it came through, the nearest to the edge last.
    var proxies: [String] = []
    /// The client's scheme is `https`: its own connection is encrypted, as far as the edge or a trusted proxy knows.
    var isSecure: Bool
    /// The host that the client asked a trusted proxy for, and the port; nil where no proxy says so.
    var askedHost: String?
    var askedPort: UInt16?
    /// The edge's end of the client's connection.
    var edge: SocketAddress?
}

/// Builds the request that goes upstream from the client's.
enum ForwardedHeaders {
    /// Fields that concern one connection (RFC 9110 7.6.1), or that Culvert sets itself.
    private static let dropped: Set<FieldName> = [
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "content-length", "content-type", "expect", "host", "cookie", "authorization",
        "sec-websocket-key", "sec-websocket-version", "sec-websocket-accept", "sec-websocket-protocol",
        "sec-websocket-extensions", "accept-encoding",
    ]

    /// Fields beside `X-Forwarded-…` by which proxies tell of a client, and by which backends that were made to stand
    /// behind one know it. From a client each of them is a forgery. Culvert says the same in the fields that it sets.
    private static let ofProxies: Set<FieldName> = [
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
    static func isReserved(_ name: String) -> Bool {
        let folded = FieldName(name)
        return self.dropped.contains(folded) || self.ofProxies.contains(folded) || self.alsoReserved.contains(folded)
    }

    private static let alsoReserved: Set<FieldName> = [
        "cdn-loop",
        "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "origin",
        "set-cookie", "content-encoding", "content-range", "via", "max-forwards", "range", "date", "culvert-session",
    ]

    /// - Parameters:
    ///   - key: `Sec-WebSocket-Key` of the upstream's handshake.
    ///   - extensions: offered to the upstream; empty where Culvert itself reads the messages.
    static func request(
        client head: HTTPRequestHead, admission: Admission, basePath: String, key: String, extensions: [String],
        identityHeader: String, facts: ClientFacts
    ) -> HTTPRequestHead {
        var headers = HTTPHeaders()
        let host = head.headers.first(name: "host")
        if let host { headers.add(name: "Host", value: host) }
        headers.add(name: "Upgrade", value: "websocket")
        headers.add(name: "Connection", value: "Upgrade")
        headers.add(name: "Sec-WebSocket-Version", value: "13")
        headers.add(name: "Sec-WebSocket-Key", value: key)
        if !admission.forwardProtocols.isEmpty {
            headers.add(name: "Sec-WebSocket-Protocol", value: admission.forwardProtocols.joined(separator: ", "))
        }
        if !extensions.isEmpty {
            headers.add(name: "Sec-WebSocket-Extensions", value: extensions.joined(separator: ", "))
        }
        let named = Set(Handshake.listTokens(head.headers["connection"]).map { FieldName($0) })
        let identity = FieldName(identityHeader)
        for (name, value) in head.headers {
            let folded = FieldName(name)
            // A client's own identity header is a forgery, also under another spelling that upstreams fold together.
            if self.dropped.contains(folded) || self.isOfProxies(folded) || named.contains(folded) || folded == identity
                || folded == self.loop
            {
                continue
            }
            headers.add(name: name, value: value)
        }
        // RFC 8586 2: what is there stays, and the own member comes behind it. In a line of its own, because a client's
        // line may end within a quoted string.
        for value in head.headers[LoopMark.field] { headers.add(name: LoopMark.field, value: value) }
        headers.add(name: LoopMark.field, value: LoopMark.ofProcess.member)
        for cookie in admission.forwardCookies { headers.add(name: "Cookie", value: cookie) }
        if let authorization = admission.forwardAuthorization {
            headers.add(name: "Authorization", value: authorization)
        }
        if let token = admission.token { headers.add(name: identityHeader, value: token.subject) }
        self.addForwarded(to: &headers, host: facts.askedHost ?? host, facts: facts)
        let uri = basePath + (admission.forwardQuery.map { "?" + $0 } ?? "")
        return HTTPRequestHead(version: .http1_1, method: .GET, uri: uri, headers: headers)
    }

    private static let loop: FieldName = "cdn-loop"

    private static func isOfProxies(_ name: FieldName) -> Bool {
        name.begins(with: "x-forwarded-") || self.ofProxies.contains(name)
    }

    /// The chain begins with the client that trusted proxies saw: what it claims of these itself is dropped, not
    /// extended.
    private static func addForwarded(to headers: inout HTTPHeaders, host: String?, facts: ClientFacts) {
        let proto = facts.isSecure ? "https" : "http"
        headers.add(name: "X-Forwarded-For", value: ([facts.address] + facts.proxies).joined(separator: ", "))
        headers.add(name: "X-Forwarded-Proto", value: proto)
        if let port = facts.askedPort { headers.add(name: "X-Forwarded-Port", value: "\(port)") }
        // RFC 7239 section 6: an IPv6 address is bracketed, hence quoted.
        func node(_ address: String) -> String {
            address.contains(byte: UInt8(ascii: ":")) ? "\"[\(address)]\"" : address
        }
        var forwarded = "for=\(node(facts.address));proto=\(proto)"
        // Such a host has nothing in it that ends a quoted string or a member of a list.
        if let host, !host.isEmpty, HostPort.isValid(host) {
            headers.add(name: "X-Forwarded-Host", value: host)
            forwarded += ";host=\"\(host)\""
        }
        let hops = facts.proxies.map { "for=\(node($0))" }
        headers.add(name: "Forwarded", value: ([forwarded] + hops).joined(separator: ", "))
    }

    /// Of an upstream's answer, what concerns the client too.
    ///
    /// - Parameter cookies: Culvert's own, which no upstream sets.
    static func response(_ headers: HTTPHeaders, cookies: TokenCookies) -> HTTPHeaders {
        // The list of fields that concern the connection alone is too long to be searched for each field.
        if FieldValue.isLong(headers["connection"]) { return HTTPHeaders() }
        let named = Set(Handshake.listTokens(headers["connection"]).map { FieldName($0) })
        var kept = HTTPHeaders()
        for (name, value) in headers {
            let folded = FieldName(name)
            if self.ofConnection.contains(folded) || named.contains(folded) { continue }
            if folded == self.setCookie, cookies.areSet(by: value) { continue }
            kept.add(name: name, value: value)
        }
        return kept
    }

    private static let setCookie: FieldName = "set-cookie"

    private static let ofConnection: Set<FieldName> = [
        "connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade", "content-length", "sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions",
        // What the edge alone says.
        "culvert-session",
    ]
}

/// The name of a field as a gateway to CGI hands it on: letters in one case, and every byte that is neither a letter
/// nor a digit the same. `X.Forwarded.User` and `x_forwarded_user` are `HTTP_X_FORWARDED_USER` to whatever runs there.
private struct FieldName: Hashable, ExpressibleByStringLiteral {
    private let bytes: [UInt8]

    init(_ name: String) { self.bytes = name.utf8.map { $0.isAlphanumeric ? $0.lowercased : UInt8(ascii: "-") } }

    init(stringLiteral name: String) { self.init(name) }

    func begins(with prefix: FieldName) -> Bool { self.bytes.starts(with: prefix.bytes) }
}

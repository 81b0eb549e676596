import CulvertCore
import NIOCore
import NIOHTTP1

/// The facts about a client that go upstream.
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
        // A client's own identity header is a forgery, also under another spelling that upstreams fold together.
        let named = FieldNames(Handshake.listTokens(head.headers["connection"]) + [identityHeader, LoopMark.field])
        for (name, value) in head.headers {
            if RequestFields.dropped.includes(name) || self.isOfProxies(name) || named.includes(name) { continue }
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

    private static func isOfProxies(_ name: String) -> Bool {
        FieldNames.folds(name, toBeginWith: "x-forwarded-") || RequestFields.ofProxies.includes(name)
    }

    /// The chain begins with the client that trusted proxies saw: what it claims of these itself is dropped, not
    /// extended.
    private static func addForwarded(to headers: inout HTTPHeaders, host: String?, facts: ClientFacts) {
        let proto = facts.isSecure ? "https" : "http"
        headers.add(name: "X-Forwarded-For", value: ([facts.address] + facts.proxies).joined(separator: ", "))
        headers.add(name: "X-Forwarded-Proto", value: proto)
        if let port = facts.askedPort { headers.add(name: "X-Forwarded-Port", value: "\(port)") }
        // RFC 7239 section 6: an IPv6 address is in brackets, and therefore in quotation marks.
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

    /// The fields of an upstream's answer that go on to the client.
    ///
    /// - Parameter cookies: the cookies of Culvert's tokens, which no upstream may set.
    static func response(_ headers: HTTPHeaders, cookies: TokenCookies) -> HTTPHeaders {
        // The list of fields that concern the connection alone is too long to be searched for each field.
        if FieldValue.isLong(headers["connection"]) { return HTTPHeaders() }
        let named = FieldNames(Handshake.listTokens(headers["connection"]))
        var kept = HTTPHeaders()
        for (name, value) in headers {
            if self.ofConnection.includes(name) || self.ofOrigin.includes(name) || named.includes(name) { continue }
            if self.setCookie.includes(name), cookies.areSet(by: value) { continue }
            kept.add(name: name, value: value)
        }
        return kept
    }

    private static let setCookie: FieldNames = ["set-cookie"]

    private static let ofConnection: FieldNames = [
        "connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade", "content-length", "sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions",
        // Fields that only the edge writes.
        "culvert-session",
    ]

    /// Fields that a browser keeps or obeys for the whole origin, whatever path they came from. The origin belongs to
    /// the edge and to the upstreams of all its routes, so one upstream does not speak for it. docs/configuration.md lists
    /// the fields.
    private static let ofOrigin: FieldNames = [
        // What the browser keeps for the origin: cookies, those of tokens among them, other data, logins and workers.
        "clear-site-data", "set-cookie2", "set-login", "use-as-dictionary", "service-worker-allowed",
        "secure-session-registration", "secure-session-challenge", "sec-session-registration", "sec-session-challenge",
        // Reports of requests of the origin: each has the URL, where a token may stand.
        "nel", "report-to", "reporting-endpoints", "expect-ct",
        // The way to the host. `Strict-Transport-Security` is `tls.hsts`'s.
        "alt-svc", "alternate-protocol", "strict-transport-security", "public-key-pins", "public-key-pins-report-only",
        // What requests and pages of the origin are like.
        "accept-ch", "accept-ch-lifetime", "critical-ch", "origin-agent-cluster", "speculation-rules",
    ]
}

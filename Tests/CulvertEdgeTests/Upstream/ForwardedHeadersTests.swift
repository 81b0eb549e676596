import CulvertCore
import NIOCore
import NIOHTTP1
import Testing

@testable import CulvertEdge

@Suite("Forwarded headers")
struct ForwardedHeadersTests {
    private static func admission(subject: String? = nil) -> Admission {
        let route = Route(
            path: "/", host: nil, upstream: "u", origins: OriginPolicy(allow: [], missing: .allow),
            authenticationRequired: subject != nil, transports: [.webSocket], validateText: false)
        let token = subject.map {
            TokenEntry(
                token: Token(id: "t", source: .config, subject: $0, routes: ["/"]),
                secrets: [TokenSecret(digest: TokenDigest(of: "s"), generation: 1)])
        }
        var keyring = TokenKeyring(token.map { [$0] } ?? [])
        let gate = Gate(
            routes: RouteTable([route]),
            carriers: CarrierNames(queryParameter: "access_token", cookie: "culvert_token"))
        var request = GateRequest(method: "GET", path: "/chat", query: "a=1&access_token=s", host: "h")
        request.wantsUpgrade = true
        request.protocols = ["chat.v2", "chat.v1"]
        request.cookies = ["a=b; culvert_token=s"]
        guard case .admit(let admission) = gate.decide(request, keyring: &keyring, now: 0, load: nil) else {
            preconditionFailure("the fixture's own request is refused")
        }
        return admission
    }

    private static func request(
        _ headers: HTTPHeaders, subject: String? = "alice", address: String = "192.0.2.1", isSecure: Bool = true
    ) -> HTTPRequestHead {
        ForwardedHeaders.request(
            client: HTTPRequestHead(version: .http1_1, method: .POST, uri: "/chat/_poll?x", headers: headers),
            admission: self.admission(subject: subject), basePath: "/chat", key: "KEY", extensions: ["x-deflate"],
            identityHeader: "X-Forwarded-User", facts: ClientFacts(address: address, isSecure: isSecure))
    }

    @Test("The upstream gets a WebSocket handshake for the URL without the token")
    func handshake() {
        let head = Self.request(["Host": "h:8443"])
        #expect(head.method == .GET && head.uri == "/chat?a=1")
        for (name, value) in [
            ("Host", "h:8443"), ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "KEY"), ("Sec-WebSocket-Protocol", "chat.v2, chat.v1"),
            ("Sec-WebSocket-Extensions", "x-deflate"), ("Cookie", "a=b"), ("X-Forwarded-User", "alice"),
        ] {
            #expect(head.headers[name] == [value])
        }
    }

    @Test(
        "Fields of one connection stay behind, named or not",
        arguments: [
            "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "X-Named",
            "x-named",
            "Content-Length", "Content-Type", "Expect",
        ])
    func hopByHop(name: String) {
        let head = Self.request(["Host": "h", "Connection": "upgrade, x-named", name: "1", "X-Own": "kept"])
        #expect(head.headers[name].isEmpty)
        #expect(head.headers["x-own"] == ["kept"])
    }

    @Test(
        "A client says nothing about who it is or where it comes from",
        arguments: [
            "X-Forwarded-User", "x-forwarded-user", "X_Forwarded_User", "X-Forwarded_User", "X-Forwarded-For",
            "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X.Forwarded.User", "X!Forwarded~User",
            "x_forwarded-USER",
            "X_Forwarded_For", "X.Forwarded.Proto", "x-forwarded_host", "Sec_WebSocket_Protocol", "Sec.WebSocket.Key",
            "X-Forwarded-Port", "X-Forwarded-Prefix", "X_Forwarded_Email", "X-Forwarded-Client-Cert", "X-Real-IP",
            "x_real_ip", "X.Real.IP", "True-Client-IP", "Client-IP", "X-Client-IP", "X-Cluster-Client-IP",
            "CF-Connecting-IP", "Fastly-Client-IP", "X-Original-URL", "X_Rewrite_URL", "X-Original-Host",
        ])
    func forgeries(name: String) {
        for subject in ["alice", nil] {
            let head = Self.request(["Host": "h", name: "forged"], subject: subject)
            #expect(!head.headers.contains { $0.value.contains("forged") })
            #expect(head.headers["x-forwarded-user"] == (subject.map { [$0] } ?? []))
        }
    }

    @Test(
        "Where the client comes from is said in both ways",
        arguments: [
            ("192.0.2.1", true, "h:1", "for=192.0.2.1;proto=https;host=\"h:1\""),
            ("2001:db8::1", false, "h", "for=\"[2001:db8::1]\";proto=http;host=\"h\""),
            ("192.0.2.1", true, "a\"b", "for=192.0.2.1;proto=https"),
            ("192.0.2.1", true, "a\"\u{301}, for=6.6.6.6;x=\"\u{301}", "for=192.0.2.1;proto=https"),
            ("192.0.2.1", true, "a\\", "for=192.0.2.1;proto=https"),
            ("192.0.2.1", true, "", "for=192.0.2.1;proto=https"),
            ("192.0.2.1", true, "a, b", "for=192.0.2.1;proto=https"),
        ])
    func forwarded(address: String, isSecure: Bool, host: String, expected: String) {
        let head = Self.request(["Host": host], address: address, isSecure: isSecure)
        #expect(head.headers["forwarded"] == [expected])
        #expect(head.headers["x-forwarded-for"] == [address])
        #expect(head.headers["x-forwarded-proto"] == [isSecure ? "https" : "http"])
        #expect(head.headers["x-forwarded-host"] == (expected.utf8.last == UInt8(ascii: "\"") ? [host] : []))
    }

    @Test("Of an answer, what concerns one connection or the handshake stays behind, and Culvert's own cookie")
    func response() {
        let kept = ForwardedHeaders.response(
            [
                "Connection": "close, X-Hop", "X-Hop": "1", "Keep-Alive": "1", "Upgrade": "websocket",
                "Content-Length": "5",
                "Transfer-Encoding": "chunked", "Sec-WebSocket-Accept": "x", "Sec-WebSocket-Protocol": "y",
                "Sec-WebSocket-Extensions": "z", "Set-Cookie": "a=b", "set-cookie": "own=x; Path=/",
                "WWW-Authenticate": "Basic",
            ], cookies: TokenCookies([CarrierNames(queryParameter: nil, cookie: "own")]))
        #expect(kept.map(\.name) == ["Set-Cookie", "WWW-Authenticate"])
    }

    private static let noCookies = TokenCookies([CarrierNames]())

    @Test(
        "An upstream says nothing that a browser takes for the whole origin, to which other routes belong",
        arguments: [
            "Clear-Site-Data", "Set-Cookie2", "Set-Login", "Use-As-Dictionary", "Service-Worker-Allowed",
            "Secure-Session-Registration", "Secure-Session-Challenge", "Sec-Session-Registration",
            "Sec-Session-Challenge", "NEL", "Report-To", "Reporting-Endpoints", "Expect-CT", "Alt-Svc",
            "Alternate-Protocol", "Strict-Transport-Security", "Public-Key-Pins", "Public-Key-Pins-Report-Only",
            "Accept-CH", "Accept-CH-Lifetime", "Critical-CH", "Origin-Agent-Cluster", "Speculation-Rules",
            "clear-site-data", "NeL", "REPORT-TO",
        ])
    func wholeOrigin(name: String) {
        let kept = ForwardedHeaders.response([name: "x", "X-Own": "kept", name: "y"], cookies: Self.noCookies)
        #expect(kept.map(\.name) == ["X-Own"])
    }

    @Test("An upstream says what concerns its own answer, or the page that the answer becomes, as it likes")
    func ownAnswer() {
        let names = [
            "Location", "Refresh", "WWW-Authenticate", "Retry-After", "Link", "Vary", "Cache-Control", "Content-Type",
            "Content-Security-Policy", "Permissions-Policy", "Referrer-Policy", "Cross-Origin-Resource-Policy",
            "Server-Timing", "Set-Cookie", "Site-Data", "Alt-Svc-Not",
        ]
        let kept = ForwardedHeaders.response(HTTPHeaders(names.map { ($0, "x=1") }), cookies: Self.noCookies)
        #expect(kept.map(\.name) == names)
    }

    @Test("A refusal that a browser shows as a page runs no script, whatever policy the upstream gives it")
    func refusedPage() {
        let own = "sandbox allow-scripts allow-same-origin"
        let head = HTTPResponseHead(
            version: .http1_1, status: .forbidden,
            headers: ["Content-Type": "text/html", "Content-Security-Policy": own])
        let answer = HTTPAnswer.refusal(head, ByteBuffer(string: "<script>x()</script>"), cookies: Self.noCookies)
        #expect(answer.headers["content-security-policy"] == [own, "sandbox"])
    }

    @Test("The process adds its member to the proxies that a request has passed, whatever the client says of the field")
    func loop() {
        let own = LoopMark.ofProcess.member
        #expect(Self.request([:]).headers["cdn-loop"] == [own])
        let lines: HTTPHeaders = ["CDN-Loop": "a;x=\"", "cdn-loop": "b", "CDN_Loop": "c", "Connection": "CDN-Loop"]
        let head = Self.request(lines)
        #expect(head.headers["cdn-loop"] == ["a;x=\"", "b", own])
        #expect(head.headers["cdn_loop"].isEmpty)
        #expect(LoopMark.ofProcess.finding(in: head.headers["cdn-loop"]) == .returned)
    }
}

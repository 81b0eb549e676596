import CulvertConfig
import CulvertTokens
import NIOHTTP1
import Testing

@testable import CulvertAdmin
@testable import CulvertEdge

@Suite("The gate of the admin API")
struct AdminGateTests {
    private static let secret = "0123456789abcdef"

    private static func gate(socket: String? = nil) -> AdminGate {
        let config = AdminConfig(
            host: "192.0.2.7", port: 9901, socket: socket, hosts: ["admin.test"], tokenFile: "none")
        return AdminGate(config, token: AdminToken(self.secret))
    }

    private static func head(_ fields: [(String, String)]) -> HTTPRequestHead {
        HTTPRequestHead(version: .http1_1, method: .GET, uri: "/v1/limits", headers: HTTPHeaders(fields))
    }

    /// The status and the code of the refusal; nil for a request that may pass.
    private static func place(_ fields: [(String, String)], socket: String? = nil) -> String? {
        do throws(AdminFailure) {
            try self.gate(socket: socket).checkPlace(self.head(fields))
            return nil
        } catch {
            return AdminAnswer(error.answer).outcome
        }
    }

    @Test(
        "The listener answers to its own address, to names of this machine and to those of admin.hosts",
        arguments: [
            "localhost", "LocalHost:9901", "localhost.", "127.0.0.1", "127.0.0.1:9901", "[::1]:9901", "[::1]",
            "192.0.2.7:9901", "admin.test", "Admin.Test.:80",
        ])
    func hosts(host: String) {
        #expect(Self.place([("Host", host)]) == nil)
    }

    @Test(
        "Attack: a name that resolves here (DNS rebinding), and what is no name, is refused",
        arguments: [
            (["evil.test"], "403 host_not_allowed"), (["localhost.evil.test"], "403 host_not_allowed"),
            (["192.0.2.8:9901"], "403 host_not_allowed"), (["[::2]"], "403 host_not_allowed"),
            (["::1"], "400 bad_host"), (["localhost:x"], "400 bad_host"), (["localhost/x"], "400 bad_host"),
            (["localhost.."], "400 bad_host"), (["localhost", "localhost"], "400 bad_host"),
            ([], "400 bad_host"),
        ] as [([String], String)])
    func otherHosts(hosts: [String], refusal: String) {
        let answer = Self.place(hosts.map { ("Host", $0) })
        print("tried Host \(hosts): \(answer ?? "let in")")
        #expect(answer == refusal)
    }

    @Test(
        "Attack: a page of the web is refused, whatever it calls the listener and whatever the listener is",
        arguments: [
            ("Origin", "http://localhost:9901"), ("Origin", "null"), ("Sec-Fetch-Site", "same-origin"),
            ("Sec-Fetch-Site", "cross-site"),
        ])
    func pages(name: String, value: String) {
        for socket in [nil, "/run/admin.sock"] {
            let answer = Self.place([("Host", "localhost"), (name, value)], socket: socket)
            print("tried \(name): \(value): \(answer ?? "let in")")
            #expect(answer == "403 origin_not_allowed")
        }
        // An address that was typed into a browser.
        #expect(Self.place([("Host", "localhost"), ("Sec-Fetch-Site", "none")]) == nil)
    }

    @Test("On a Unix socket no name is asked for")
    func socket() {
        #expect(Self.place([], socket: "/run/admin.sock") == nil)
        #expect(Self.place([("Host", "evil.test")], socket: "/run/admin.sock") == nil)
    }

    private static let challenge = "Bearer realm=\"culvert admin\""
    private static let wrong = challenge + ", error=\"invalid_token\""

    private static let authorizations: [([String], String?)] = [
        (["Bearer \(secret)"], nil), (["bearer \(secret)"], nil), ([], challenge), (["Bearer \(secret)x"], wrong),
        (["Bearer "], wrong), (["Bearer"], wrong), ([secret], wrong), (["Basic \(secret)"], wrong),
        (["Bearer  \(secret)"], wrong), (["Bearer \(secret)", "Bearer \(secret)"], wrong),
    ]

    @Test(
        "Only one Authorization with the token passes; a request without one is not told that its token is wrong",
        arguments: authorizations)
    func tokens(values: [String], challenge: String?) {
        do throws(AdminFailure) {
            try Self.gate().checkToken(Self.head(values.map { ("Authorization", $0) }))
            #expect(challenge == nil)
        } catch {
            #expect(AdminAnswer(error.answer).outcome == "401 unauthorized")
            #expect(error.answer.headers["www-authenticate"].first == challenge && challenge != nil)
        }
    }
}

import CulvertConfig
import CulvertCore
import CulvertTokens
import NIOHTTP1

/// Who may ask the admin API: programs that have the token, and no web page.
struct AdminGate: Sendable {
    private let token: AdminToken
    /// Names under which the listener may be called; nil for a Unix socket, which no browser reaches.
    private let hosts: [String]?

    init(_ config: AdminConfig, token: AdminToken) {
        self.token = token
        self.hosts =
            config.socket == nil
            ? ["localhost", "127.0.0.1", "[::1]", config.host, "[\(config.host)]"] + config.hosts : nil
    }

    /// A page of the web may have a browser send requests here, by the listener's address or by a name of its own that
    /// resolves to it (DNS rebinding). Their Host or Origin tells them.
    func checkPlace(_ head: HTTPRequestHead) throws(AdminFailure) {
        let headers = head.headers
        if let hosts = self.hosts {
            let values = headers["host"]
            // RFC 9112 3.2.
            guard values.count == 1, let host = values.first, HostPort.isValid(host) else {
                throw AdminFailure(
                    400, "bad_host", "A request has one Host: a name or an address, with at most a port behind it.")
            }
            let name = Self.bareHost(host)
            guard hosts.contains(where: { name.equalsIgnoringCase($0) }) else {
                throw AdminFailure(403, "host_not_allowed", "Host is not a name of the admin API (admin.hosts).")
            }
        }
        guard headers["origin"].isEmpty, headers["sec-fetch-site"].allSatisfy({ $0.equals("none") }) else {
            throw AdminFailure(403, "origin_not_allowed", "The admin API is not for web pages.")
        }
    }

    /// Without the port and the root's point; an address keeps its brackets.
    private static func bareHost(_ host: String) -> Substring {
        if host.utf8.first == UInt8(ascii: "[") {
            guard let (address, _) = host.split(at: UInt8(ascii: "]")) else { return host[...] }
            return host.slice(0..<address.utf8.count + 1)
        }
        let name = host.split(at: UInt8(ascii: ":"))?.before ?? host[...]
        return name.utf8.last == UInt8(ascii: ".") ? name.slice(0..<name.utf8.count - 1) : name
    }

    /// Refuses a request without the token.
    func checkToken(_ head: HTTPRequestHead) throws(AdminFailure) {
        let values = head.headers["authorization"]
        guard values.count == 1, let (scheme, secret) = values[0].split(at: UInt8(ascii: " ")),
            scheme.equalsIgnoringCase("bearer"), self.token.admits(secret)
        else {
            let error = values.isEmpty ? "" : ", error=\"invalid_token\""
            let detail =
                values.isEmpty
                ? "The admin token is required, in \"Authorization: Bearer TOKEN\"."
                : "Authorization does not hold the admin token of this process, in one line \"Bearer TOKEN\"."
            throw AdminFailure(
                401, "unauthorized", detail,
                headers: ["WWW-Authenticate": "Bearer realm=\"culvert admin\"" + error])
        }
    }
}

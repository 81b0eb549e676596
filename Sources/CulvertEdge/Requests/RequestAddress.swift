import CulvertCore
package import NIOHTTP1

/// A request does not say to which host and path it goes, or says so in more than one way.
package struct BadTarget: Error {
    var code: String
    /// The sentence for the client.
    var detail: String

    static func host(_ detail: String) -> BadTarget { BadTarget(code: "bad_host", detail: detail) }
    static func target(_ detail: String) -> BadTarget { BadTarget(code: "bad_target", detail: detail) }
}

extension RequestTarget {
    /// The target of a request, and its `Host` set right: exactly one, a name or an address with perhaps a port. That
    /// of a target in absolute form counts instead of the field (RFC 9112 3.2.2); behind this the head has the origin
    /// form.
    ///
    /// Any other `Host` is refused, because servers in front of the edge and behind it may read it in different ways.
    package init(takingHostOf head: inout HTTPRequestHead) throws(BadTarget) {
        self.init(head.uri, method: head.method.rawValue)
        let hosts = head.headers["host"]
        // A request of HTTP/1.0 may leave it out (RFC 9112 3.2), and then its target has to name the host: otherwise the
        // upstream would get a host that no client has named.
        let isNamedByTarget = self.authority != nil && head.version == .http1_0
        guard hosts.count == 1 || hosts.isEmpty && isNamedByTarget else { throw .host("A request has one Host.") }
        guard hosts.allSatisfy({ HostPort.isValid($0) }) else {
            throw .host("Host is a name or an address, with at most a port behind it.")
        }
        if let authority {
            guard !authority.contains(byte: UInt8(ascii: "@")) else {
                // RFC 9110 4.2.4: it may be there to hide the host.
                throw .host("The target has a user name or a password in front of its host.")
            }
            guard HostPort.isValid(authority), !authority.isEmpty else {
                throw .host("The target's host is a name or an address, with at most a port behind it.")
            }
            head.uri = self.originForm
            head.headers.replaceOrAdd(name: "Host", value: authority)
        }
        try self.checkForm(head)
    }

    private func checkForm(_ head: HTTPRequestHead) throws(BadTarget) {
        if self.isServer {
            guard head.method == .OPTIONS else { throw .target("Only OPTIONS may have the target *.") }
            return
        }
        guard self.path.utf8.first == UInt8(ascii: "/") else {
            throw .target("The target is neither a path nor a URL of http, https, ws or wss.")
        }
    }
}

extension HTTPAnswer {
    /// To `OPTIONS *`: the methods that the server takes, at one path or another (RFC 9110 9.3.7).
    static let serverOptions = HTTPAnswer(
        status: .noContent, headers: ["Allow": "GET, HEAD, POST, PUT, DELETE, OPTIONS"])
}

extension HTTPRequestHead {
    /// About as many bytes as the header section has on the wire.
    var sectionSize: Int {
        self.headers.reduce(self.uri.utf8.count + 16) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
    }
}

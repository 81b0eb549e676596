import CulvertCore
import NIOHTTP1

/// A request does not say to which host it goes, or says so in more than one way.
struct BadHost: Error {
    /// For people.
    var detail: String
}

extension RequestTarget {
    /// The target of a request, and its `Host` set right: exactly one, a name or an address with perhaps a port. That
    /// of a target in absolute form counts instead of the field (RFC 9112 3.2.2); behind this the head has the origin
    /// form.
    ///
    /// What stands in front of the edge and what stands behind it may each make something else of any other `Host`.
    init(takingHostOf head: inout HTTPRequestHead) throws(BadHost) {
        self.init(head.uri)
        let hosts = head.headers["host"]
        // This holds for HTTP/1.0 too: otherwise the upstream would get a host that no client has named.
        guard hosts.count == 1 else { throw BadHost(detail: "A request has one Host.") }
        guard hosts.allSatisfy({ HostPort.isValid($0) }) else {
            throw BadHost(detail: "Host is a name or an address, with at most a port behind it.")
        }
        guard let authority = self.authority else { return }
        guard HostPort.isValid(authority), !authority.isEmpty else {
            throw BadHost(detail: "The target's host is a name or an address, with at most a port behind it.")
        }
        head.uri = self.originForm
        head.headers.replaceOrAdd(name: "Host", value: authority)
    }
}

extension HTTPRequestHead {
    /// About as many bytes as the header section has on the wire.
    var sectionSize: Int {
        self.headers.reduce(self.uri.utf8.count + 16) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
    }
}

import CulvertCore
import NIOCore
import NIOHTTP1

/// The admin API: who may ask, and who answers.
package struct AdminAPI: Sendable {
    /// What can be done to the server as a whole.
    struct Operations: Sendable {
        var edge: EdgeServer
        /// Nil where there is no configuration file.
        var reloader: Reloader?
        /// Has the server stopped as the plan says; false when it stops already.
        var stop: @Sendable (DrainPlan) -> Bool
    }

    let desk: TokenDesk
    let sessions: any SessionDirectory
    let upstreams: EdgeUpstreams
    let limits: EdgeLimits
    private let token: AdminToken
    /// Names under which the listener may be called; nil for a Unix socket, which no browser reaches.
    private let hosts: [String]?
    let operations: Operations

    init(admin: AdminConfig, desk: TokenDesk, token: AdminToken, operations: Operations) {
        self.desk = desk
        self.sessions = operations.edge.sessions
        self.upstreams = operations.edge.upstreams
        self.limits = operations.edge.limits
        self.token = token
        self.operations = operations
        self.hosts =
            admin.socket == nil
            ? ["localhost", "127.0.0.1", "[::1]", admin.host, "[\(admin.host)]"] + admin.hosts : nil
    }

    /// The answer that the head alone decides: a refusal, or an answer for which no token is needed. Nil for a request
    /// with the token.
    ///
    /// The target and the fields are compared as they came. A request without the token has none of them taken apart.
    func answerAtHead(_ head: HTTPRequestHead) -> HTTPAnswer? {
        do throws(AdminFailure) {
            try self.checkPlace(head)
            let path = head.uri.split(at: UInt8(ascii: "?"))?.before ?? head.uri[...]
            let isReadiness = path.equals("/readyz")
            if isReadiness || path.equals("/healthz") {
                try Self.allow(head, [.GET, .HEAD])
                return self.health(readiness: isReadiness)
            }
            try self.checkToken(head)
            return nil
        } catch {
            return error.answer
        }
    }

    /// The answer to a request that ``answerAtHead(_:)`` has let pass, with its body.
    func answer(_ request: AdminRequest) async -> HTTPAnswer {
        do throws(AdminFailure) {
            return try await self.route(request)
        } catch {
            return error.answer
        }
    }

    private func route(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        guard !request.isMalformed else { throw AdminFailure(400, "bad_target", "The request target is malformed.") }
        let path = request.path
        switch path.first {
        case "openapi.json" where path.count == 1:
            try Self.allow(request, [.GET, .HEAD])
            _ = try request.parameters([])
            return HTTPAnswer(
                status: .ok, headers: ["Content-Type": "application/json"],
                body: ByteBuffer(bytes: PackageResources.openapi_json))
        case "v1":
            switch path.dropFirst().first {
            case "tokens": return try await self.tokens(request, Array(path.dropFirst(2)))
            case "sessions": return try await self.sessions(request, Array(path.dropFirst(2)))
            case "upstreams": return try await self.upstreams(request, Array(path.dropFirst(2)))
            case "jwt": return try await self.jwt(request, Array(path.dropFirst(2)))
            case "reload" where path.count == 2: return try await self.reload(request)
            case "drain" where path.count == 2: return try await self.drain(request)
            case "certificates" where path.count == 2: return try await self.certificates(request)
            case "limits" where path.count == 2: return try self.limits(request)
            case "audit" where path.count == 2: return try await self.audit(request)
            case "config" where path.count == 2:
                try Self.allow(request, [.GET, .HEAD])
                _ = try request.parameters([])
                return Self.json(
                    .ok, JSONWriter.object { $0.add("yaml", self.operations.edge.rules.config.redactedYAML()) })
            case "memory" where path.count == 2:
                try Self.allow(request, [.GET, .HEAD])
                _ = try request.parameters([])
                return self.memoryAnswer()
            case "version" where path.count == 2:
                try Self.allow(request, [.GET, .HEAD])
                _ = try request.parameters([])
                return Self.json(.ok, JSONWriter.object { $0.add("version", Version.text) })
            default: throw AdminFailure.noResource
            }
        default: throw AdminFailure.noResource
        }
    }

    /// A page of the web may have a browser send requests here, by the listener's address or by a name of its own that
    /// resolves to it (DNS rebinding). Their Host or Origin tells them.
    private func checkPlace(_ head: HTTPRequestHead) throws(AdminFailure) {
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
                throw AdminFailure(403, "host_not_allowed", "The admin API is not called by this name.")
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

    private func checkToken(_ head: HTTPRequestHead) throws(AdminFailure) {
        let values = head.headers["authorization"]
        guard values.count == 1, let (scheme, secret) = values[0].split(at: UInt8(ascii: " ")),
            scheme.equalsIgnoringCase("bearer"), self.token.admits(secret)
        else {
            let error = values.isEmpty ? "" : ", error=\"invalid_token\""
            throw AdminFailure(
                401, "unauthorized", "The admin token is required.",
                headers: ["WWW-Authenticate": "Bearer realm=\"culvert admin\"" + error])
        }
    }

    static func allow(_ request: AdminRequest, _ methods: [HTTPMethod]) throws(AdminFailure) {
        try self.allow(request.head, methods)
    }

    private static func allow(_ head: HTTPRequestHead, _ methods: [HTTPMethod]) throws(AdminFailure) {
        guard !methods.contains(head.method) else { return }
        let list = methods.map(\.rawValue).joined(separator: ", ")
        throw AdminFailure(405, "method_not_allowed", "Only \(list) is taken here.", headers: ["Allow": list])
    }

    static func json(_ status: HTTPResponseStatus, _ text: String, headers: HTTPHeaders = [:]) -> HTTPAnswer {
        var headers = headers
        headers.add(name: "Content-Type", value: "application/json")
        return HTTPAnswer(status: status, headers: headers, body: ByteBuffer(string: text + "\n"))
    }

    private func health(readiness: Bool) -> HTTPAnswer {
        let edge = self.operations.edge
        let body = JSONWriter.object {
            $0.add("status", edge.isReady ? "ok" : "draining")
            $0.add("sessions", edge.openSessions)
        }
        // One that drains is healthy: who restarts it for that cuts the sessions that it is taking leave of.
        return Self.json(readiness && !edge.isReady ? .serviceUnavailable : .ok, body)
    }

    private func memoryAnswer() -> HTTPAnswer {
        let memory = self.operations.edge.memory
        let body = JSONWriter.object {
            $0.add("used", memory.used)
            $0.add("ceiling", memory.ceiling)
            $0.add("closed", memory.closed)
        }
        return Self.json(.ok, body)
    }

    private func audit(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        try Self.allow(request, [.GET, .HEAD])
        let parameters = try request.parameters(["cursor", "limit"])
        let limit = try request.limit(parameters)
        let before = try request.cursor(parameters) { text in text.decimal(as: Int64.self).flatMap { $0 > 0 ? $0 : nil }
        }
        let page = try await self.ask { () async throws(DeskError) in
            try await self.desk.audit(before: before, limit: limit)
        }
        let items = page.items.map { entry in
            JSONWriter.object {
                $0.add("id", raw: "\(entry.id)")
                $0.add("at", time: entry.at)
                $0.add("actor", entry.caller.name)
                $0.add("address", entry.caller.address)
                $0.add("action", entry.action)
                $0.add("target", entry.target)
                $0.add("detail", entry.detail)
            }
        }
        return Self.json(.ok, JSONWriter.page(items, next: page.next.map { "\($0)" }))
    }

    func ask<Value: Sendable>(_ body: () async throws(DeskError) -> Value) async throws(AdminFailure) -> Value {
        do throws(DeskError) {
            return try await body()
        } catch {
            throw AdminFailure(error)
        }
    }
}

/// Of the program.
package enum Version {
    package static let text = "0.3.0"
}

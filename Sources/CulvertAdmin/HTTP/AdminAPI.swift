import CulvertConfig
import CulvertCore
import CulvertEdge
import CulvertTokens
import NIOCore
import NIOHTTP1

/// The admin API's table of paths: asks the gate, and hands a request to the resource whose path it has.
///
/// Connections on any event loop ask it. What the head alone decides is answered on the connection's loop. The rest is
/// answered in a task of the request, on no loop.
package struct AdminAPI: Sendable {
    private let gate: AdminGate
    private let process: ProcessResource
    private let tokens: TokensResource
    private let jwtKeys: JWTKeysResource
    private let jwtRevocations: JWTRevocationsResource
    private let sessions: SessionsResource
    private let upstreams: UpstreamsResource
    private let limits: LimitsResource
    private let certificates: CertificatesResource
    private let reload: ReloadResource
    private let drain: DrainResource
    private let audit: AuditResource

    /// - Parameters:
    ///   - reloader: nil where there is no configuration file.
    ///   - stop: has the server stopped as the plan says; false when it stops already.
    init(
        gate: AdminGate, desk: TokenDesk, edge: EdgeServer, reloader: Reloader?,
        stop: @escaping @Sendable (DrainPlan) -> Bool
    ) {
        let log = AuditLog(desk: desk)
        self.gate = gate
        self.process = ProcessResource(edge: edge)
        self.tokens = TokensResource(desk: desk) { edge.config.routes.map(\.path) }
        self.jwtKeys = JWTKeysResource(desk: desk)
        self.jwtRevocations = JWTRevocationsResource(desk: desk)
        self.sessions = SessionsResource(sessions: edge.sessions, audit: log)
        self.upstreams = UpstreamsResource(upstreams: edge.upstreams, audit: log)
        self.limits = LimitsResource(limits: edge.limits)
        self.certificates = CertificatesResource(certificates: edge.certificates)
        self.reload = ReloadResource(reloader: reloader, audit: log)
        self.drain = DrainResource(edge: edge, stop: stop, audit: log)
        self.audit = AuditResource(desk: desk)
    }

    /// The answer that the head alone decides: a refusal, or an answer for which no token is needed. Nil for a request
    /// with the token.
    ///
    /// The target and the fields are compared as they came. A request without the token has none of them taken apart.
    func answerAtHead(_ head: HTTPRequestHead) -> HTTPAnswer? {
        do throws(AdminFailure) {
            try self.gate.checkPlace(head)
            let path = head.uri.split(at: UInt8(ascii: "?"))?.before ?? head.uri[...]
            let isReadiness = path.equals("/readyz")
            if isReadiness || path.equals("/healthz") {
                try AdminRequest.allow([.GET, .HEAD], for: head)
                return self.process.health(readiness: isReadiness)
            }
            try self.gate.checkToken(head)
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
        case "openapi.json" where path.count == 1: return try Self.description(request)
        case "v1" where path.count > 1: return try await self.route(request, path[1], Array(path.dropFirst(2)))
        default: throw AdminFailure.noResource
        }
    }

    /// - Parameters:
    ///   - name: of the resource, behind `/v1`.
    ///   - rest: what follows the name.
    private func route(
        _ request: AdminRequest, _ name: String, _ rest: [String]
    ) async throws(AdminFailure) -> HTTPAnswer {
        switch (name, rest.first) {
        case ("tokens", _): return try await self.tokens.answer(request, rest)
        case ("sessions", _): return try await self.sessions.answer(request, rest)
        case ("upstreams", _): return try await self.upstreams.answer(request, rest)
        case ("jwt", "keys"?): return try await self.jwtKeys.answer(request, Array(rest.dropFirst()))
        case ("jwt", "revocations"?) where rest.count == 1: return try await self.jwtRevocations.answer(request)
        case ("reload", nil): return try await self.reload.answer(request)
        case ("drain", nil): return try await self.drain.answer(request)
        case ("certificates", nil): return try self.certificates.answer(request)
        case ("limits", nil): return try self.limits.answer(request)
        case ("audit", nil): return try await self.audit.answer(request)
        case ("config", nil): return try self.process.config(request)
        case ("memory", nil): return try self.process.memory(request)
        case ("version", nil): return try self.process.version(request)
        default: throw AdminFailure.noResource
        }
    }

    /// `/openapi.json`: all of these paths, for programs.
    private static func description(_ request: AdminRequest) throws(AdminFailure) -> HTTPAnswer {
        try request.allowPlainRead()
        return HTTPAnswer(
            status: .ok, headers: ["Content-Type": "application/json"],
            body: ByteBuffer(bytes: PackageResources.openapi_json))
    }
}

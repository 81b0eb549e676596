import CulvertCore
import CulvertEdge
import NIOHTTP1

/// `/v1/sessions`: shows and closes sessions.
struct SessionsResource: Sendable {
    let sessions: any SessionDirectory
    let audit: AuditLog

    private static let filters = ["token", "subject", "route", "transport", "address", "upstream", "server"]

    /// - Parameter path: what follows `/v1/sessions`.
    func answer(_ request: AdminRequest, _ path: [String]) async throws(AdminFailure) -> HTTPAnswer {
        guard path.count <= 1 else { throw AdminFailure.noResource }
        try request.allow([.GET, .HEAD, .DELETE])
        switch (request.head.method, path.first) {
        case (.DELETE, let id?):
            let frame = try Self.frame(try request.parameters(["code", "reason"]))
            guard await self.sessions.close(id: id, code: frame.code, reason: frame.reason) else {
                throw AdminFailure(404, "not_found", "There is no such session.")
            }
            try await self.note(request, id, frame)
            return HTTPAnswer(status: .noContent)
        case (.DELETE, nil):
            let parameters = try request.parameters(Self.filters + ["code", "reason"])
            let filter = try Self.filter(parameters)
            // All sessions at once is what stopping is for, or a mistake.
            guard !filter.isEmpty else {
                throw AdminFailure(
                    400, "bad_parameter",
                    "Name the sessions to close: pass at least one of \(Self.filters.joined(separator: ", ")).")
            }
            let frame = try Self.frame(parameters)
            let count = await self.sessions.close(filter, code: frame.code, reason: frame.reason)
            let names = Self.filters.compactMap { name in parameters[name].map { "\(name)=\($0)" } }
            try await self.note(request, names.joined(separator: " "), frame)
            return HTTPAnswer(.ok, json: JSONWriter.object { $0.add("closed", count) })
        case (_, let id?):
            _ = try request.parameters([])
            guard let info = await self.sessions.info(id: id) else {
                throw AdminFailure(404, "not_found", "There is no such session.")
            }
            return HTTPAnswer(.ok, json: Self.text(info))
        case (_, nil):
            let parameters = try request.parameters(Self.filters + ["cursor", "limit"])
            let limit = try request.limit(parameters)
            let filter = try Self.filter(parameters)
            let after = try request.cursor(parameters) { SessionID($0) }
            let page = await self.sessions.list(filter, after: after, limit: limit)
            return HTTPAnswer(.ok, json: JSONWriter.page(page.items.map(Self.text), next: page.next))
        }
    }

    private func note(
        _ request: AdminRequest, _ target: String, _ frame: (code: CloseCode, reason: String)
    ) async throws(AdminFailure) {
        try await self.audit.note(
            "session.close", target, detail: "code \(frame.code.rawValue), \(frame.reason)", by: request.caller)
    }

    private static func filter(_ parameters: [String: String]) throws(AdminFailure) -> SessionFilter {
        let transport = try parameters["transport"].map { text throws(AdminFailure) in
            guard let transport = Transport(rawValue: text) else {
                throw AdminFailure(400, "bad_parameter", "transport is websocket or long-poll.")
            }
            return transport
        }
        let address = try parameters["address"].map { text throws(AdminFailure) in
            // A session has an address of its client, or a word where the connection tells none.
            guard IPAddress(text) != nil || text == "unknown" else {
                throw AdminFailure(400, "bad_parameter", "address is an IP address, such as 192.0.2.7 or 2001:db8::7.")
            }
            return IPAddress.canonical(text)
        }
        return SessionFilter(
            token: parameters["token"], subject: parameters["subject"], route: parameters["route"],
            transport: transport, address: address,
            upstream: parameters["upstream"], server: parameters["server"])
    }

    private static func frame(
        _ parameters: [String: String]
    ) throws(AdminFailure) -> (code: CloseCode, reason: String) {
        let reason = parameters["reason"] ?? "closed by the operator"
        // RFC 6455 5.5: a control frame has 125 bytes, of which two are the code.
        guard reason.utf8.count <= 123 else {
            throw AdminFailure(400, "bad_parameter", "reason has at most 123 bytes.")
        }
        guard let text = parameters["code"] else { return (.goingAway, reason) }
        guard let number = text.decimal(as: UInt16.self),
            number == 1000 || number == 1001 || (3000...4999).contains(number)
        else {
            throw AdminFailure(400, "bad_parameter", "code is 1000, 1001, or 3000 to 4999.")
        }
        return (CloseCode(rawValue: number), reason)
    }

    private static func text(_ info: SessionInfo) -> String {
        JSONWriter.object {
            $0.add("id", info.id)
            $0.add("token", info.credential.token)
            $0.add("token_expires", time: info.credential.tokenExpires)
            $0.add("subject", info.credential.subject)
            $0.add("route", info.destination.route)
            $0.add("transport", info.transport.rawValue)
            $0.add("address", info.client.address)
            $0.add("path", info.client.path)
            $0.add("origin", info.client.origin)
            $0.add("user_agent", info.client.userAgent)
            $0.add("upstream", info.destination.upstream)
            $0.add("server", info.destination.server)
            $0.add("opened_at", time: info.openedAt)
            $0.add("messages_in", info.counts.messagesIn)
            $0.add("messages_out", info.counts.messagesOut)
            $0.add("bytes_in", info.counts.bytesIn)
            $0.add("bytes_out", info.counts.bytesOut)
        }
    }
}

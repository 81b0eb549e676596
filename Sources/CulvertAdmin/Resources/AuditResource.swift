import CulvertCore
import CulvertEdge
import CulvertTokens
import NIOHTTP1

/// `/v1/audit`: shows what operators have done, the newest first.
struct AuditResource: Sendable {
    let desk: TokenDesk

    func answer(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        try request.allow([.GET, .HEAD])
        let parameters = try request.parameters(["cursor", "limit"])
        let limit = try request.limit(parameters)
        let before = try request.cursor(parameters) { text in
            text.decimal(as: Int64.self).flatMap { $0 > 0 ? $0 : nil }
        }
        let page = try await self.desk.operate { desk async throws(DeskError) in
            try await desk.audit(before: before, limit: limit)
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
        return HTTPAnswer(.ok, json: JSONWriter.page(items, next: page.next.map { "\($0)" }))
    }
}

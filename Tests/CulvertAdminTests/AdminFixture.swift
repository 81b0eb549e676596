import CulvertTokens
import Foundation
import Logging
import NIOCore
import NIOHTTP1

@testable import CulvertAdmin
@testable import CulvertCore
@testable import CulvertEdge

/// A token desk over a database in a folder of its own, for the admin API's resources, and the audit log of both.
final class AdminFixture: Sendable {
    let desk: TokenDesk
    private let folder: URL
    /// Unix seconds, at which the desk's clock stands: 2027-01-15T08:00:00Z.
    private static let now: Int64 = 1_800_000_000

    init(configured: [TokenEntry] = []) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "culvert-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        self.folder = folder
        self.desk = TokenDesk(
            store: try TokenStore(path: folder.appending(path: "culvert.db").path),
            configured: ConfiguredTokens(configured), entries: [], publish: { _ in return {} }, now: { Self.now })
    }

    deinit { try? FileManager.default.removeItem(at: self.folder) }

    var audit: AuditLog { AuditLog(desk: self.desk) }

    /// What the audit log has, the oldest first: the action, its target and its detail.
    func audited() async throws -> [String] {
        try await self.desk.audit(before: nil, limit: 100).items.reversed().map { entry in
            [entry.action, entry.target, entry.detail].filter { !$0.isEmpty }.joined(separator: " | ")
        }
    }
}

extension AdminRequest {
    /// A request as the front of the listener hands it on. A body is JSON, unless `headers` say otherwise.
    static func of(
        _ method: HTTPMethod, _ target: String, _ body: String = "", headers: HTTPHeaders = [:]
    ) -> AdminRequest {
        var headers = headers
        if !body.isEmpty, headers["content-type"].isEmpty {
            headers.add(name: "Content-Type", value: "application/json")
        }
        return AdminRequest(
            head: HTTPRequestHead(version: .http1_1, method: method, uri: target, headers: headers),
            body: ByteBuffer(string: body), address: "192.0.2.9")
    }

    /// What follows `/v1/` and the resource's name.
    var rest: [String] { Array(self.path.dropFirst(2)) }
}

/// An answer of the admin API, in a form that tests compare.
struct AdminAnswer {
    let status: UInt
    let headers: HTTPHeaders
    /// Of the body's JSON object; empty for another body, or none.
    let members: [String: JSONValue]

    init(_ answer: HTTPAnswer) {
        self.status = answer.status.code
        self.headers = answer.headers
        let limits = JSONLimits(bytes: 1 << 20, depth: 16, values: 10_000)
        let members = try? JSONValue.members(reading: answer.body.readableBytesView, limits: limits)
        self.members = members ?? [:]
    }

    subscript(name: String) -> JSONValue? { self.members[name] }

    /// The code of a problem document; nil for any other answer.
    var problem: String? {
        guard case .string(let type)? = self.members["type"] else { return nil }
        return type.replacing("urn:culvert:problem:", with: "")
    }

    /// The status, and the code of a problem.
    var outcome: String { [String(self.status), self.problem].compactMap(\.self).joined(separator: " ") }

    func text(_ name: String) -> String? { if case .string(let text)? = self.members[name] { text } else { nil } }

    func object(_ name: String) -> [String: JSONValue] {
        if case .object(let members)? = self.members[name] { members } else { [:] }
    }

    /// The ids of the items of a page.
    var ids: [String] {
        guard case .array(let items)? = self.members["items"] else { return [] }
        return items.compactMap { item in
            if case .object(let members) = item, case .string(let id)? = members["id"] { id } else { nil }
        }
    }

    /// Where the members are that a refusal names.
    var pointers: [String] {
        guard case .array(let faults)? = self.members["errors"] else { return [] }
        return faults.compactMap { fault in
            if case .object(let members) = fault, case .string(let pointer)? = members["pointer"] {
                pointer
            } else {
                nil
            }
        }
    }
}

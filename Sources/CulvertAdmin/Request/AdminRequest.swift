import CulvertCore
import CulvertTokens
import Foundation
import NIOCore
import NIOHTTP1

/// A request of the admin API, whole.
struct AdminRequest: Sendable {
    var head: HTTPRequestHead
    var body: ByteBuffer
    /// Of the peer; `unix` for one on a Unix socket.
    var address: String

    /// Decoded; empty for a target that is no path.
    var path: [String]
    var query: [String: String]
    /// A parameter was given twice, or the target is malformed, or has more parts than any that is taken.
    var isMalformed = false

    private static let mostSegments = 8
    private static let mostParameters = 32

    /// - Parameter head: of a request that has the token.
    init(head: HTTPRequestHead, body: ByteBuffer, address: String) {
        self.head = head
        self.body = body
        self.address = address
        let target = RequestTarget(head.uri)
        var malformed = false
        self.query = [:]
        guard target.path.count(of: UInt8(ascii: "/")) <= Self.mostSegments,
            target.query?.count(of: UInt8(ascii: "&")) ?? 0 < Self.mostParameters
        else {
            self.path = []
            self.isMalformed = true
            return
        }
        self.path = target.path.parts(at: UInt8(ascii: "/")).dropFirst().map { segment in
            guard let text = PercentEncoding.decode(segment) else {
                malformed = true
                return ""
            }
            return text
        }
        for pair in (target.query ?? "").parts(at: UInt8(ascii: "&")) where !pair.isEmpty {
            let sides = pair.split(at: UInt8(ascii: "=")) ?? (pair, "")
            guard let name = PercentEncoding.decode(sides.before, isForm: true),
                let value = PercentEncoding.decode(sides.after, isForm: true),
                self.query.updateValue(value, forKey: name) == nil
            else {
                malformed = true
                continue
            }
        }
        if head.uri.utf8.first != UInt8(ascii: "/") { malformed = true }
        self.isMalformed = malformed
    }

    var caller: AdminCaller { AdminCaller(name: "admin", address: self.address) }
}

extension AdminRequest {
    /// Refuses a head with another method.
    static func allow(_ methods: [HTTPMethod], for head: HTTPRequestHead) throws(AdminFailure) {
        guard !methods.contains(head.method) else { return }
        let list = methods.map(\.rawValue).joined(separator: ", ")
        throw AdminFailure(405, "method_not_allowed", "Only \(list) is allowed here.", headers: ["Allow": list])
    }

    /// Refuses another method.
    func allow(_ methods: [HTTPMethod]) throws(AdminFailure) {
        try Self.allow(methods, for: self.head)
    }

    /// Refuses all but a read without parameters.
    func allowPlainRead() throws(AdminFailure) {
        try self.allow([.GET, .HEAD])
        _ = try self.parameters([])
    }

    /// Limits of a body. The largest useful body is a key with a chain of certificates.
    private static let limits = JSONLimits(bytes: 64 * 1024, depth: 16, values: 4096)

    private static func explain(_ fault: JSONFault) -> String {
        switch fault {
        case .duplicate: "A member of the body's JSON occurs twice."
        case .tooDeep, .tooMany, .tooLong: "The body's JSON is nested too deep, or has too many values."
        case .syntax, .type: "The body is not a JSON object in UTF-8."
        }
    }

    /// The body's members. An empty body is an empty object where `isOptional`.
    func members(_ known: [String], isOptional: Bool = false) throws(AdminFailure) -> JSONMembers {
        if isOptional, self.body.readableBytes == 0 { return JSONMembers([:]) }
        guard FieldValue.hasEssence(self.head.headers.first(name: "content-type") ?? "", "application/json") else {
            throw AdminFailure(415, "unsupported_media_type", "The body must be application/json.")
        }
        let members: [String: JSONValue]
        do throws(JSONFault) {
            members = try JSONValue.members(reading: self.body.readableBytesView, limits: Self.limits)
        } catch {
            throw AdminFailure(400, "bad_json", Self.explain(error))
        }
        var read = JSONMembers(members)
        read.check(known: known)
        return read
    }

    /// The query's parameters, of which there are no others than `known`.
    func parameters(_ known: [String]) throws(AdminFailure) -> [String: String] {
        for name in self.query.keys.sorted() where !known.contains(name) {
            throw AdminFailure(
                400, "unknown_parameter",
                "Unknown parameter \"\(String(name.unicodeScalars.prefix(64)))\""
                    + (known.isEmpty ? "; none is taken." : ", expected one of \(known.joined(separator: ", "))."))
        }
        return self.query
    }

    func limit(_ parameters: [String: String]) throws(AdminFailure) -> Int {
        guard let text = parameters["limit"] else { return 100 }
        guard let limit = text.decimal(as: Int.self), (1...1000).contains(limit) else {
            throw AdminFailure(400, "bad_parameter", "limit is 1 to 1000.")
        }
        return limit
    }

    /// Where the page before ended; nil for the first page.
    ///
    /// - Parameter read: gives nil for what no page ended with.
    func cursor<Value>(
        _ parameters: [String: String], _ read: (String) -> Value?
    ) throws(AdminFailure) -> Value? {
        guard let text = parameters["cursor"] else { return nil }
        guard let value = read(text) else { throw AdminFailure(400, "bad_parameter", "cursor is not one of this API.") }
        return value
    }

    /// How many seconds a secret or key that is replaced stays valid; a day unless the body says another time.
    func overlap() throws(AdminFailure) -> Int64 {
        var members = try self.members(["overlap"], isOptional: true)
        let overlap = members.duration("overlap") ?? .hours(24)
        guard members.faults.isEmpty else { throw AdminFailure(faults: members.faults) }
        return overlap.nanoseconds / 1_000_000_000
    }

    func idempotencyKey() throws(AdminFailure) -> String? {
        let keys = self.head.headers["idempotency-key"]
        guard let key = keys.first else { return nil }
        guard keys.count == 1, (1...255).contains(key.utf8.count) else {
            throw AdminFailure(400, "bad_idempotency_key", "Idempotency-Key is one value of 1 to 255 characters.")
        }
        return key
    }
}

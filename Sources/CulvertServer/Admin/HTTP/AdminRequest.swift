import CulvertCore
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

/// What an operation of the admin API ends with when it does not do what it was asked.
struct AdminFailure: Error {
    var answer: HTTPAnswer

    init(_ answer: HTTPAnswer) { self.answer = answer }

    init(
        _ status: Int, _ code: String, _ detail: String, headers: HTTPHeaders = [:], extra: [(String, String)] = []
    ) {
        self.answer = .problem(status, code, detail, extra: extra, headers: headers)
    }

    /// The path of the request is none of the API's.
    static let noResource = AdminFailure(
        404, "not_found", "The admin API has nothing at this path; /openapi.json lists its paths.")

    init(faults: [JSONMembers.Fault]) {
        let list = faults.map { fault in
            JSONWriter.object {
                $0.add("pointer", fault.pointer)
                $0.add("detail", fault.detail)
            }
        }
        let first = faults.first.map { "\($0.pointer): \($0.detail)" } ?? "The request is not valid."
        self.init(400, "invalid_request", first, extra: [("errors", "[" + list.joined(separator: ",") + "]")])
    }

    init(_ error: DeskError) {
        switch error {
        case .notFound(let name): self.init(404, "not_found", "There is no \(name).")
        case .conflict(let why): self.init(409, "conflict", "Not done: \(why).")
        case .invalid(let member, let why): self.init(faults: [JSONMembers.Fault(pointer: member, detail: why)])
        case .readOnly(let why): self.init(409, "read_only", "Not done: \(why); change it there.")
        case .full: self.init(507, "state_full", "The database takes no more; nothing has changed.")
        case .failed: self.init(500, "state_failed", "The database failed; nothing has changed.")
        }
    }
}

extension AdminRequest {
    /// Limits of a body. The largest useful body is a key with a chain of certificates.
    private static let limits = JSONLimits(bytes: 64 * 1024, depth: 16, values: 4096)

    private static func explain(_ fault: JSONFault) -> String {
        switch fault {
        case .duplicate: "A member of the body's JSON stands there twice."
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
        guard let value = read(text) else { throw AdminFailure(400, "bad_parameter", "cursor is not one of ours.") }
        return value
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

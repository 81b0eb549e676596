import CulvertEdge
import CulvertTokens
import NIOHTTP1

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
        404, "not_found", "The admin API has no such path; /openapi.json lists its paths.")

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
        case .full: self.init(507, "state_full", "The disk of the database is full; nothing has changed.")
        case .failed: self.init(500, "state_failed", "The database failed; nothing has changed.")
        }
    }
}

extension TokenDesk {
    /// Has the desk do something for an operator. What it refuses becomes the answer.
    nonisolated func operate<Value: Sendable>(
        _ body: (TokenDesk) async throws(DeskError) -> Value
    ) async throws(AdminFailure) -> Value {
        do throws(DeskError) {
            return try await body(self)
        } catch {
            throw AdminFailure(error)
        }
    }
}

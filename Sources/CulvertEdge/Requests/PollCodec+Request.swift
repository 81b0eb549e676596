import CulvertCore
import NIOHTTP1

extension PollCodec {
    /// Binary when asked for by name; JSON to everyone else.
    init(acceptedBy headers: HTTPHeaders) {
        self = FieldValue.containsEssence(headers["accept"], Self.binary.mediaType) ? .binary : .json
    }

    init(ofBody headers: HTTPHeaders) throws(PollProblem) {
        guard let type = headers.first(name: "content-type") else {
            self = .json
            return
        }
        if FieldValue.hasEssence(type, Self.binary.mediaType) {
            self = .binary
            return
        }
        guard Self.jsonTypes.contains(where: { FieldValue.hasEssence(type, $0) }) else {
            throw PollProblem(415, "A batch is \(Self.binary.mediaType) or application/json.")
        }
        self = .json
    }

    /// A form type is what curl and sendBeacon say of a body when told nothing.
    private static let jsonTypes = [Self.json.mediaType, "text/plain", "application/x-www-form-urlencoded"]
}

package import NIOCore

/// The body of `POST {path}/_poll`: `{"protocols": ["chat.v2"]}`. An empty body asks for nothing.
package enum PollOpening {
    /// The bytes are those of ``PollTarget/bodyLimit``. A list of the most subprotocols that are allowed fits, with
    /// room for members that Culvert ignores.
    private static let limits = JSONLimits(bytes: 4 << 10, depth: 8, values: 2 * Gate.protocolLimit)

    /// The subprotocols, without those that carry tokens: as in the header, their names are not the application's. A
    /// name that is not a token of HTTP is left out, because it could not stand in one field with others.
    ///
    /// - Parameters:
    ///   - readsTokens: subprotocols carry tokens on the route, so that each of this form is one.
    ///   - isOwn: tells Culvert's own tokens where they do not.
    package static func protocols(
        of body: ByteBuffer, readsTokens: Bool = true, isOwn: CarrierNames.Recognition = { _, _ in true }
    ) throws(PollProblem) -> [String] {
        guard body.readableBytes > 0 else { return [] }
        let members: [String: JSONValue]
        do throws(JSONFault) {
            members = try JSONValue.members(reading: body.readableBytesView, limits: self.limits)
        } catch {
            throw error == .tooMany ? Self.tooMany : Self.malformed
        }
        switch members["protocols"] {
        case nil, .null?: return []
        case .array(let values)?:
            guard values.count <= Gate.protocolLimit else { throw Self.tooMany }
            let names = try values.map { (value) throws(PollProblem) -> String in
                guard case .string(let name) = value else { throw Self.malformed }
                return name
            }
            let isMarked = names.contains(bytesEqualTo: CarrierNames.authProtocol)
            return names.filter { name in
                guard !name.isEmpty,
                    name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ",") }),
                    !name.equals(CarrierNames.authProtocol)
                else { return false }
                guard let token = CarrierNames.token(inSubprotocol: name) else { return true }
                return !readsTokens && !isOwn(token, .subprotocol(isMarked: isMarked))
            }
        default: throw Self.malformed
        }
    }

    private static let malformed = PollProblem(400, #"The body is not like {"protocols": ["chat"]}."#)
    private static let tooMany = PollProblem(400, "At most \(Gate.protocolLimit) subprotocols may be offered.")
}

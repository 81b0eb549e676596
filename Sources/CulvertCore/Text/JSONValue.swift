/// A JSON document (RFC 8259), read whole before its shape is known.
package enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    /// No two members have one name. Names that Unicode calls equivalent count as one.
    case object([String: JSONValue])

    /// - Throws: ``JSONFault``. An object with two members of one name is refused: readers in front of and behind this
    ///   one may each take another of the two (RFC 8259 section 4, RFC 7519 section 4).
    package init(reading bytes: some Collection<UInt8>, limits: JSONLimits) throws(JSONFault) {
        // The limit first: what is too long is not copied either.
        guard bytes.count <= limits.bytes else { throw .tooLong }
        let result: Result<JSONValue, JSONFault> = Array(bytes).withUnsafeBytes { bytes in
            Result { () throws(JSONFault) in
                var cursor = try JSONCursor(bytes, limits: limits)
                let value = try cursor.value()
                try cursor.finish()
                return value
            }
        }
        self = try result.get()
    }

    /// The members of a document that is an object.
    package static func members(
        reading bytes: some Collection<UInt8>, limits: JSONLimits
    ) throws(JSONFault) -> [String: JSONValue] {
        guard case .object(let members) = try JSONValue(reading: bytes, limits: limits) else { throw .type }
        return members
    }
}

extension JSONCursor {
    /// The next value with all that is in it; recursive, to the depth of the limits.
    package mutating func value() throws(JSONFault) -> JSONValue {
        switch try self.kind() {
        case .null:
            try self.null()
            return .null
        case .bool: return .bool(try self.bool())
        case .number: return try self.numericValue()
        case .string: return .string(try self.string())
        case .array:
            var elements: [JSONValue] = []
            try self.beginArray()
            while try self.nextElement() { elements.append(try self.value()) }
            return .array(elements)
        case .object:
            var members: [String: JSONValue] = [:]
            try self.beginObject()
            while let name = try self.nextMember() {
                // Names are compared as Unicode has it, which takes time in the square of their length when they hold
                // combining marks. No document that is read here has such a name of this length.
                guard name.utf8.count <= 128 || name.utf8.allSatisfy({ $0 < 0x80 }) else { throw .tooLong }
                guard members.updateValue(try self.value(), forKey: name) == nil else { throw .duplicate }
            }
            return .object(members)
        }
    }
}

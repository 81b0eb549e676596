import CulvertConfig
import CulvertCore
import NIOCore

/// The members of a request's object. Each is read once; what is wrong, and what is left over, is said of all at once.
struct JSONMembers {
    struct Fault: Equatable, Sendable {
        /// A JSON pointer (RFC 6901).
        var pointer: String
        var detail: String
    }

    private let pointer: String
    private let members: [String: JSONValue]
    private(set) var faults: [Fault] = []

    init(_ members: [String: JSONValue], pointer: String = "") {
        self.members = members
        self.pointer = pointer
    }

    /// - Parameter known: every member there may be; another is a fault.
    mutating func check(known: [String]) {
        for name in self.members.keys.sorted() where !known.contains(name) {
            let hint = Spelling.suggestion(for: name, among: known)
            self.fail(name, "unknown member, expected one of \(known.joined(separator: ", "))" + hint)
        }
    }

    /// - Parameter index: of the element that is wrong; nil for the member itself.
    mutating func fail(_ name: String, at index: Int? = nil, _ detail: String) {
        // RFC 6901 section 3.
        let escaped = String(
            decoding: name.utf8.flatMap { byte -> [UInt8] in
                switch byte {
                case UInt8(ascii: "~"): Array("~0".utf8)
                case UInt8(ascii: "/"): Array("~1".utf8)
                default: [byte]
                }
            }, as: UTF8.self)
        let element = index.map { "/\($0)" } ?? ""
        self.faults.append(Fault(pointer: "\(self.pointer)/\(escaped)\(element)", detail: detail))
    }

    mutating func add(_ faults: [Fault]) { self.faults += faults }

    /// Present, be it as null.
    func has(_ name: String) -> Bool { self.members[name] != nil }

    /// Whatever it is; nil when it is absent or null.
    func value(_ name: String) -> JSONValue? {
        let value = self.members[name]
        return value == .null ? nil : value
    }

    /// Nil when it is absent or null, or wrong.
    mutating func string(_ name: String, required: Bool = false) -> String? {
        switch self.members[name] {
        case .string(let text)?: return text
        case nil where !required, .null? where !required: return nil
        case nil: self.fail(name, "missing")
        default: self.fail(name, "expected a string")
        }
        return nil
    }

    mutating func integer(_ name: String) -> Int? {
        switch self.members[name] {
        case .integer(let value)?:
            if let value = Int(exactly: value) { return value }
        case nil, .null?: return nil
        default: break
        }
        self.fail(name, "expected a whole number")
        return nil
    }

    mutating func strings(_ name: String, required: Bool = false) -> [String]? {
        switch self.members[name] {
        case .array(let values)?:
            var list: [String] = []
            for (index, value) in values.enumerated() {
                if case .string(let text) = value {
                    list.append(text)
                } else {
                    self.fail(name, at: index, "expected a string")
                }
            }
            return list
        case nil where !required, .null? where !required: return nil
        case nil: self.fail(name, "missing")
        default: self.fail(name, "expected a list of strings")
        }
        return nil
    }

    /// Unix seconds.
    mutating func time(_ name: String) -> Int64? {
        guard let text = self.string(name) else { return nil }
        if let seconds = UnixTime.parse(text) { return seconds }
        self.fail(name, "expected a date and time, such as 2027-01-01T00:00:00Z")
        return nil
    }

    /// A duration in the form of the configuration.
    mutating func duration(_ name: String) -> TimeAmount? {
        switch self.members[name] {
        case .string(let text)?:
            if let time = ConfigUnits.time(text) { return time }
            self.fail(name, ConfigUnits.fault(ofTime: text))
        case nil, .null?: break
        default: self.fail(name, #"expected a duration with its unit in a string, such as "500ms", "5s" or "24h""#)
        }
        return nil
    }

    mutating func object(_ name: String) -> JSONMembers? {
        switch self.members[name] {
        case .object(let members)?: return JSONMembers(members, pointer: "\(self.pointer)/\(name)")
        case nil, .null?: return nil
        default: self.fail(name, "expected an object")
        }
        return nil
    }
}

import CulvertCore

/// Why the token desk did not do what it was asked.
package enum DeskError: Error, Equatable, Sendable {
    /// Says of what kind the thing is that is missing, and its name: `token "a"`.
    case notFound(String)
    /// What is asked for contradicts what is there.
    case conflict(String)
    /// `member` is a JSON pointer (RFC 6901) into the request.
    case invalid(member: String, String)
    /// Names a thing that the admin API cannot change, and its place: `the token "a" stands in the configuration file`.
    case readOnly(String)
    /// The disk is full, or will not take more; nothing has changed.
    case full
    case failed
}

/// What a new token is to be.
package struct TokenRequest: Sendable, Equatable {
    package var id: String?
    package var subject: String
    package var routes: [String]
    package var origins: [String]?
    /// Unix seconds.
    package var notBefore: Int64?
    package var expires: Int64?
    package var sessions: Int?
    package var messagesPerSecond: Int?
    package var note: String?

    package init(
        id: String? = nil, subject: String, routes: [String], origins: [String]? = nil, notBefore: Int64? = nil,
        expires: Int64? = nil, sessions: Int? = nil, messagesPerSecond: Int? = nil, note: String? = nil
    ) {
        self.id = id
        self.subject = subject
        self.routes = routes
        self.origins = origins
        self.notBefore = notBefore
        self.expires = expires
        self.sessions = sessions
        self.messagesPerSecond = messagesPerSecond
        self.note = note
    }
}

/// What is to change of a token; what is nil stays, what is `.some(nil)` is taken away.
package struct TokenPatch: Sendable, Equatable {
    package var routes: [String]?
    package var origins: [String]??
    package var notBefore: Int64??
    package var expires: Int64??
    package var sessions: Int??
    package var messagesPerSecond: Int??
    package var note: String?

    package init() {}

    /// The names of what it changes, for the audit log.
    var changed: String {
        let parts = [
            ("routes", self.routes != nil), ("origins", self.origins != nil), ("not_before", self.notBefore != nil),
            ("expires", self.expires != nil), ("limits.sessions", self.sessions != nil),
            ("limits.messages_per_second", self.messagesPerSecond != nil), ("note", self.note != nil),
        ]
        return parts.filter { $0.1 }.map { $0.0 }.joined(separator: " ")
    }
}

/// What may stand in a token's fields.
enum TokenRules {
    static let listLimit = 64
    static let noteLimit = 1024
    private static let longestOverlap: Int64 = 365 * 86_400

    package static func id(_ text: String) throws(DeskError) -> String {
        let isName =
            (1...128).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || ".-_".utf8.contains(byte)
            }
        // A path segment of dots names another resource (RFC 3986 5.2.4).
        guard isName, text != ".", text != ".." else {
            throw .invalid(member: "/id", "1 to 128 letters, digits and ._- are allowed")
        }
        return text
    }

    /// It is sent in a header.
    static func subject(_ text: String) throws(DeskError) -> String {
        guard Token.isSubject(text) else {
            throw .invalid(
                member: "/subject", "1 to 256 printable ASCII characters are allowed, and no blank at an end")
        }
        return text
    }

    /// Checks the `jti` or `sub` of a JWT that is to be revoked.
    static func claim(_ text: String, member: String) throws(DeskError) {
        guard Token.isPrintable(text) else {
            throw .invalid(member: member, "1 to 256 printable ASCII characters are allowed")
        }
    }

    static func routes(_ list: [String]) throws(DeskError) -> [String] {
        guard (1...self.listLimit).contains(list.count) else {
            throw .invalid(member: "/routes", "1 to \(self.listLimit) paths are allowed")
        }
        for (index, path) in list.enumerated() where path.utf8.count > 1024 || (try? PathPrefix(path)) == nil {
            throw .invalid(
                member: "/routes/\(index)",
                "a path begins with a slash and has no dot segments, parameters or anything else that servers read in"
                    + " different ways")
        }
        return list
    }

    static func origins(_ list: [String]?) throws(DeskError) -> [OriginPattern]? {
        guard let list else { return nil }
        guard (1...self.listLimit).contains(list.count) else {
            throw .invalid(member: "/origins", "1 to \(self.listLimit) origins are allowed")
        }
        var patterns: [OriginPattern] = []
        for (index, text) in list.enumerated() {
            guard text.utf8.count <= 512 else {
                throw .invalid(member: "/origins/\(index)", "an origin has at most 512 bytes")
            }
            guard let pattern = OriginPattern(text) else {
                throw .invalid(member: "/origins/\(index)", OriginFault.message(text))
            }
            patterns.append(pattern)
        }
        return patterns
    }

    static func limit(_ value: Int?, _ member: String) throws(DeskError) -> Int? {
        guard let value else { return nil }
        guard (1...1_000_000).contains(value) else { throw .invalid(member: member, "1 to 1000000 is allowed") }
        return value
    }

    static func note(_ text: String, member: String = "/note") throws(DeskError) -> String {
        guard text.unicodeScalars.count <= self.noteLimit, !text.unicodeScalars.contains("\0") else {
            throw .invalid(member: member, "at most \(self.noteLimit) characters are allowed")
        }
        return text
    }

    /// Checks for how many seconds what is replaced or retired counts on.
    static func overlap(_ seconds: Int64) throws(DeskError) {
        guard (0...self.longestOverlap).contains(seconds) else {
            throw .invalid(member: "/overlap", "0s to \(self.longestOverlap / 3600)h is allowed")
        }
    }

    static func times(notBefore: Int64?, expires: Int64?) throws(DeskError) {
        if let notBefore, let expires, expires <= notBefore {
            throw .invalid(member: "/expires", "must be later than not_before")
        }
    }
}

/// The member by which a process marks the requests that it sends to upstreams, in the field `CDN-Loop` (RFC 8586). A
/// request that comes back with it has gone round: an upstream's name leads to the edge itself.
///
/// The member is random, so that no client can have a request refused by guessing it. Upstreams see it, and can use it
/// against their own requests alone.
package struct LoopMark: Equatable, Sendable {
    package static let field = "CDN-Loop"
    /// Members of other proxies with which a request is still taken. Proxies that stand in a row are a handful; a loop
    /// in which a process does not know its own member again ends here.
    package static let most = 16

    /// The result of a look at a request's field.
    package enum Finding: Equatable, Sendable {
        case passes
        /// The request has been sent by this very process.
        case returned
        /// It has passed ``most`` proxies or more.
        case tooMany
    }

    package let member: String

    package init(random: (UInt64, UInt64)) {
        self.member = "culvert-" + Self.hex(random.0) + Self.hex(random.1)
    }

    private static func hex(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }

    /// Judges the lines of the field in a request that has come.
    ///
    /// Neither quotation marks nor parameters are read. The member is looked for anywhere in a line: a client could put
    /// a quotation mark in front, and a proxy on the way could join the lines.
    package func finding(in lines: [String]) -> Finding {
        var count = 0
        for line in lines {
            if line.contains(bytesOf: self.member) { return .returned }
            count += 1 + line.count(of: UInt8(ascii: ","))
        }
        return count < Self.most ? .passes : .tooMany
    }
}

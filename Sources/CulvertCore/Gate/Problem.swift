/// A problem document (RFC 9457).
package enum Problem {
    package static let mediaType = "application/problem+json"

    /// - Parameter extra: members whose values are JSON already.
    package static func json(
        status: Int, code: String, title: String, detail: String, extra: [(String, String)] = []
    ) -> String {
        var text = "{\"type\":\"urn:culvert:problem:\(code)\",\"title\":\(self.quote(title)),\"status\":\(status)"
        text += ",\"detail\":\(self.quote(detail))"
        for (name, value) in extra { text += ",\(self.quote(name)):\(value)" }
        return text + "}\n"
    }

    /// A JSON string (RFC 8259 section 7).
    package static func quote(_ text: String) -> String { JSONBytes.quoted(text) }
}

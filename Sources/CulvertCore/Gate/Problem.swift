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
    package static func quote(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}

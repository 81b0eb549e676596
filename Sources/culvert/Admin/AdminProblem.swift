import Foundation
import NIOHTTP1

/// Turns a problem that the admin API answers with (RFC 9457) into the text of a ``CommandFailure``.
enum AdminProblem {
    /// Options and arguments of the command whose names are not those of the request's members.
    private static let names = [
        "/routes": "--route", "/origins": "--origin", "/limits/sessions": "--sessions",
        "/limits/messages_per_second": "--messages-per-second", "/state": "<state>", "/pem": "<file>", "/jwk": "<file>",
    ]
    /// Members that have an option of the same name.
    private static let options: Set<String> = [
        "id", "subject", "not_before", "expires", "note", "overlap", "reason", "delay", "spread", "deadline", "code",
        "rate", "algorithm", "jti", "before", "until",
    ]

    /// - Parameters:
    ///   - problem: the members of the answer; empty for an answer that is no object.
    ///   - given: what the operator has typed for members, by their pointers. It is named in place of the argument.
    static func text(
        _ status: HTTPResponseStatus, _ problem: [String: Any], given: [String: String] = [:]
    ) -> String {
        let errors = problem["errors"] as? [[String: Any]] ?? []
        var lines = errors.compactMap { self.mistake($0, given) }
        // The detail repeats the first error. Of a request's member it has the pointer, in place of the option.
        if lines.isEmpty || errors.first?["pointer"] == nil {
            lines = [problem["detail"] as? String ?? status.reasonPhrase] + lines.dropFirst()
        }
        return "\(status.code): " + lines.joined(separator: "\n  ")
    }

    /// One of the `errors`, of a configuration's file or of a request's member.
    private static func mistake(_ error: [String: Any], _ given: [String: String]) -> String? {
        guard let detail = error["detail"] as? String else { return nil }
        guard let file = error["file"] as? String, let line = error["line"] as? Int, let key = error["key"] as? String
        else {
            return (error["pointer"] as? String).map { pointer in
                // The one member that the detail of another names.
                let detail = detail.replacingOccurrences(of: "not_before", with: self.option("/not_before"))
                return "\(given[pointer] ?? self.option(pointer)): \(detail)"
            }
        }
        let column = (error["column"] as? Int).map { ":\($0)" } ?? ""
        return "\(file):\(line)\(column): " + (key.isEmpty ? "" : "\(key): ") + detail
    }

    /// The option that gives the member at `pointer`; the pointer itself where there is no such option.
    private static func option(_ pointer: String) -> String {
        if let name = self.names[pointer] { return name }
        let parts = pointer.split(separator: "/").map(String.init)
        if parts.count == 1, self.options.contains(parts[0]) {
            return "--" + parts[0].replacingOccurrences(of: "_", with: "-")
        }
        // An option that is repeated gives a list.
        if parts.count == 2, let index = Int(parts[1]), let name = self.names["/" + parts[0]] {
            return "\(name) number \(index + 1)"
        }
        return pointer
    }
}

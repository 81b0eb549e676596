import CulvertConfig
import CulvertCore
import CulvertEdge
import NIOCore
import NIOHTTP1

/// What the admin API answers with: members in the order they are given.
struct JSONWriter {
    private(set) var text = "{"

    mutating func add(_ name: String, raw: String) {
        self.text += (self.text.utf8.count > 1 ? "," : "") + Problem.quote(name) + ":" + raw
    }

    mutating func add(_ name: String, _ value: String?) { self.add(name, raw: value.map(Problem.quote) ?? "null") }
    mutating func add(_ name: String, _ value: Int?) { self.add(name, raw: value.map { "\($0)" } ?? "null") }
    mutating func add(_ name: String, _ value: UInt64) { self.add(name, raw: "\(value)") }
    mutating func add(_ name: String, _ value: [String]?) {
        self.add(name, raw: value.map { "[" + $0.map(Problem.quote).joined(separator: ",") + "]" } ?? "null")
    }
    mutating func add(_ name: String, time: Int64?) { self.add(name, time.map(UnixTime.text)) }

    var object: String { self.text + "}" }

    static func object(_ body: (inout JSONWriter) -> Void) -> String {
        var writer = JSONWriter()
        body(&writer)
        return writer.object
    }

    /// One page of a listing.
    static func page(_ items: [String], next: String?) -> String {
        self.object { page in
            page.add("items", raw: "[" + items.joined(separator: ",") + "]")
            page.add("next", next)
        }
    }
}

extension HTTPAnswer {
    /// - Parameter text: a whole JSON value.
    init(_ status: HTTPResponseStatus, json text: String, headers: HTTPHeaders = [:]) {
        var headers = headers
        headers.add(name: "Content-Type", value: "application/json")
        self.init(status: status, headers: headers, body: ByteBuffer(string: text + "\n"))
    }
}

import CulvertCore
import Testing

@Suite("Request target")
struct RequestTargetTests {
    struct Reading: CustomTestStringConvertible, Sendable {
        var method = "GET"
        var target: String
        var authority: String?
        var path: String
        var query: String?
        var testDescription: String { "\(self.method) \(self.target)" }
    }

    @Test(arguments: [
        Reading(target: "/chat?a=b?c", path: "/chat", query: "a=b?c"),
        Reading(target: "http://edge.example/chat?x", authority: "edge.example", path: "/chat", query: "x"),
        Reading(target: "WSS://edge.example:8443/chat", authority: "edge.example:8443", path: "/chat"),
        Reading(target: "http://edge.example", authority: "edge.example", path: "/"),
        Reading(target: "http://edge.example?x", authority: "edge.example", path: "/", query: "x"),
        Reading(target: "http://u:p@edge.example/", authority: "u:p@edge.example", path: "/"),
        Reading(target: "http:///chat", authority: "", path: "/chat"),
        // The gate refuses a fragment as one, and an empty segment as one.
        Reading(target: "http://edge.example#x", authority: "edge.example", path: "/#x"),
        Reading(target: "http://edge.example//chat", authority: "edge.example", path: "//chat"),
        Reading(target: "ftp://edge.example/chat", path: "ftp://edge.example/chat"),
        Reading(target: "edge.example:443", path: "edge.example:443"),
        Reading(method: "OPTIONS", target: "*", path: "*"),
        Reading(method: "OPTIONS", target: "http://edge.example", authority: "edge.example", path: "*"),
        Reading(method: "OPTIONS", target: "http://edge.example/", authority: "edge.example", path: "/"),
        Reading(method: "OPTIONS", target: "http://edge.example?x", authority: "edge.example", path: "/", query: "x"),
    ])
    func isTakenApart(_ reading: Reading) {
        let target = RequestTarget(reading.target, method: reading.method)
        #expect(target.authority == reading.authority)
        #expect(target.path == reading.path && target.query == reading.query)
        #expect(target.isServer == (reading.path == "*"))
    }
}

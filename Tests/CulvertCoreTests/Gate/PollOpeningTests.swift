import CulvertCore
import NIOCore
import Testing

@Suite("The body of an opening")
struct PollOpeningTests {
    private static func protocols(_ bytes: [UInt8]) -> [String]? {
        try? PollOpening.protocols(of: ByteBuffer(bytes: bytes))
    }

    @Test(
        "Subprotocols are read, and those that carry tokens left out",
        arguments: [
            ("", []), ("{}", []), (#"{"protocols":null}"#, []), (#"{"protocols":[]}"#, []),
            (#" {"protocols" : ["a", "b"] } "#, ["a", "b"]), (#"{"x":{"y":[1]},"protocols":["a"]}"#, ["a"]),
            (#"{"protocols":["culvert.auth","bearer.secret","a"]}"#, ["a"]),
            ("{\"protocols\":[\"bearer.\u{301}secret\",\"a\"]}", ["a"]),
            (#"{"protocols":["a,b","a b","","\u00e9","c"]}"#, ["c"]),
        ])
    func reads(body: String, names: [String]) {
        #expect(Self.protocols(Array(body.utf8)) == names)
    }

    @Test(
        "Anything else is refused",
        arguments: [
            "[]", "null", "x", #"{"protocols":"a"}"#, #"{"protocols":[1]}"#, #"{"protocols":["a"]"#,
            #"{"protocols":["a"]}x"#,
            #"{"protocols":["a"],"protocols":["b"]}"#, #"{"protocols":{"a":1}}"#,
            "{\"protocols\":[" + String(repeating: "[", count: 500),
            #"{"protocols":["a"]}"# + "\0", "\u{FEFF}{}",
        ])
    func refuses(body: String) {
        #expect(Self.protocols(Array(body.utf8)) == nil)
    }

    @Test("It is UTF-8, in no other encoding, and short")
    func bounds() {
        let text = #"{"protocols":["a"]}"#
        #expect(Self.protocols(Array(text.utf16).flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }) == nil)
        #expect(Self.protocols(Array(text.utf16).flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }) == nil)
        #expect(Self.protocols(Array(#"{"protocols":["a"#.utf8) + [0xFF] + Array(#""]}"#.utf8)) == nil)
        func names(_ count: Int) -> [UInt8] {
            Array(("{\"protocols\":[" + (0..<count).map { "\"p\($0)\"" }.joined(separator: ",") + "]}").utf8)
        }
        #expect(Self.protocols(names(64))?.count == 64)
        #expect(Self.protocols(names(65)) == nil && Self.protocols(names(500)) == nil)
        #expect(Self.protocols(Array(text.utf8) + [UInt8](repeating: 0x20, count: 5000)) == nil)
    }
}

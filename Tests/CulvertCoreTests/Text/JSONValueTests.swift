import CulvertCore
import Testing

@Suite("JSON: read whole")
struct JSONValueTests {
    private static let limits = JSONLimits(bytes: 1 << 20, depth: 8, values: 1000)

    private static func read(_ text: String, _ limits: JSONLimits = limits) -> Result<JSONValue, JSONFault> {
        Result { () throws(JSONFault) in try JSONValue(reading: Array(text.utf8), limits: limits) }
    }

    @Test(
        arguments: [
            ("null", .null), (" true ", .bool(true)), ("false", .bool(false)), ("0", .integer(0)),
            ("-12", .integer(-12)), ("9223372036854775807", .integer(.max)), ("1e3", .integer(1000)),
            ("1.5", .number(1.5)), ("-0.25E+1", .number(-2.5)), ("\"\"", .string("")),
            (#""a\"\\\/\b\f\n\r\té😀é""#, .string("a\"\\/\u{8}\u{C}\n\r\t\u{E9}\u{1F600}é")),
            ("[]", .array([])), ("[1,\n[2],{}]", .array([.integer(1), .array([.integer(2)]), .object([:])])),
            ("{\"a\":{\"b\":null},\"c\":[true]}", .object(["a": .object(["b": .null]), "c": .array([.bool(true)])])),
        ] as [(String, JSONValue)])
    func whatIsJSONIsRead(_ text: String, _ value: JSONValue) {
        #expect(Self.read(text) == .success(value))
    }

    @Test(arguments: [
        "", " ", "nul", "nulll", "true1", "+1", "01", "1.", ".5", "1e", "--1", "1 2", "[1,]", "[,1]", "[1 2]", "[1",
        "]",
        "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "{1:2}", "'a'", "\"a", "\"\n\"", "\"\\x\"",
        "\"\\u12\"", "\"\\u12G4\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "[}", "{]", "[1]]", "\u{FEFF}1",
        "\"\\", "\"\\\"", "/**/1", "NaN", "\0",
    ])
    func whatIsNoneIsRefused(_ text: String) {
        #expect(Self.read(text) == .failure(.syntax))
    }

    @Test("Text that is no UTF-8 is refused, whether or not it has escapes")
    func encoding() {
        for bytes in [[0x22, 0xFF, 0x22], [0x22, 0x5C, 0x6E, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22]]
            as [[UInt8]]
        {
            #expect(throws: JSONFault.syntax) { try JSONValue(reading: bytes, limits: Self.limits) }
        }
    }

    @Test("A number that no type holds is refused", arguments: ["1e999", "-1e999", String(repeating: "9", count: 65)])
    func numbers(_ text: String) {
        #expect(Self.read(text) == .failure(.type))
    }

    @Test("A member twice is refused, also when one of the two is escaped, and however deep")
    func duplicates() {
        for text in [#"{"a":1,"a":1}"#, #"{"a":1,"\u0061":2}"#, #"[{"b":{"a":1,"c":2,"a":3}}]"#] {
            #expect(Self.read(text) == .failure(.duplicate))
        }
    }

    @Test("A combining mark behind a quotation mark takes nothing away from it")
    func characters() {
        // Swift makes one Character of the quotation mark and U+0301, and of the comma and U+0600.
        #expect(Self.read("[\"\u{301}a\",\"\u{600}\"]") == .success(.array([.string("\u{301}a"), .string("\u{600}")])))
        #expect(Self.read("[\"a\"\u{301}]") == .failure(.syntax))
    }

    @Test("Each limit refuses what exceeds it by one")
    func limits() {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(
            Self.read(nested(8)) == .success([1, 2, 3, 4, 5, 6, 7].reduce(.array([])) { inner, _ in .array([inner]) }))
        #expect(Self.read(nested(9)) == .failure(.tooDeep))
        let wide = "[" + Array(repeating: "1", count: 999).joined(separator: ",") + "]"
        #expect((try? Self.read(wide).get()) != nil)
        #expect(Self.read(wide.dropLast() + ",1]") == .failure(.tooMany))
        #expect(Self.read("\"aaa\"", JSONLimits(bytes: 4, depth: 1, values: 1)) == .failure(.tooLong))
        let name = String(repeating: "n", count: 257)
        #expect(Self.read("{\"\(name)\":1}") == .failure(.tooLong))
        #expect((try? Self.read("{\"\(name.dropLast())\":1}").get()) != nil)
    }

    @Test("Attack: what took seconds is refused, or read, in a time that its bytes foretell")
    func linear() {
        let limits = JSONLimits(bytes: 1 << 20, depth: 64, values: 1 << 20)
        func cost(_ text: String) -> Duration {
            let bytes = Array(text.utf8)
            return ContinuousClock().measure { _ = try? JSONValue(reading: bytes, limits: limits) }
        }
        let plain = cost(
            "[" + Array(repeating: #""some text that is read""#, count: 40_000).joined(separator: ",") + "]")
        for (name, text) in [
            ("deep", String(repeating: "[", count: 1 << 20)),
            ("deep objects", String(repeating: #"{"a":"#, count: 200_000)),
            ("deep, and wide within", String(repeating: "[", count: 60) + String(repeating: "{},", count: 300_000)),
            ("empty objects", "[" + Array(repeating: "{}", count: 340_000).joined(separator: ",") + "]"),
            ("escapes", "\"" + String(repeating: #"A"#, count: 170_000) + "\""),
            ("a number of many digits", String(repeating: "9", count: 1 << 20)),
            ("combining marks", "[\"" + String(repeating: "\u{301}\u{316}", count: 250_000) + "\"]"),
            ("names of combining marks", "{\"" + String(repeating: "\u{301}\u{316}", count: 250_000) + "\":1}"),
        ] {
            let spent = cost(text)
            print("tried \(name): \(text.utf8.count) bytes took \(spent); plain ones of the size took \(plain)")
            #expect(spent < plain * 50 + .milliseconds(200), "\(name)")
        }
    }
}

@Suite("JSON: read in part")
struct JSONCursorTests {
    private static func read<Value>(
        _ text: String, depth: Int = 8, _ body: (inout JSONCursor) throws -> Value
    ) throws -> Value {
        try Array(text.utf8).withUnsafeBytes { bytes in
            var cursor = try JSONCursor(bytes, limits: JSONLimits(bytes: 4096, depth: depth, values: 100))
            return try body(&cursor)
        }
    }

    @Test("What is not asked for is passed over, whatever it is")
    func skipping() throws {
        let text = #" {"a": [1, {"x": [[], {}, "]}\"", null]}, true], "b": 7, "c": {"d": {}}, "e": "end" } "#
        let found = try Self.read(text) { cursor in
            var names: [String] = []
            var number: UInt64 = 0
            try cursor.beginObject()
            while let name = try cursor.nextMember() {
                names.append(name)
                if name == "b" { number = try cursor.unsigned() } else { try cursor.skip() }
            }
            try cursor.finish()
            return (names, number)
        }
        #expect(found.0 == ["a", "b", "c", "e"] && found.1 == 7)
    }

    @Test(
        "What is passed over is JSON, and no deeper than allowed",
        arguments: [
            ("[1 2]", JSONFault.syntax), ("[tru]", .syntax), ("{\"a\" 1}", .syntax), ("[\"\u{1}\"]", .syntax),
            ("[[[[]]]]", .tooDeep), ("[1}", .syntax), ("[", .syntax), ("{\"a\":[1,]}", .syntax),
        ])
    func strict(_ text: String, _ fault: JSONFault) {
        #expect(throws: fault) {
            try Self.read(text, depth: 3) { cursor in
                try cursor.skip()
                try cursor.finish()
            }
        }
    }

    @Test(
        arguments: [
            ("0", 0), ("18446744073709551615", .max), ("18446744073709551616", nil), ("-1", nil), ("1.0", nil),
            ("1e2", nil), ("\"1\"", nil),
        ] as [(String, UInt64?)])
    func aSequenceNumberIsWholeAndFits(_ text: String, _ value: UInt64?) {
        #expect((try? Self.read(text) { try $0.unsigned() }) == value)
    }

    @Test("A value of another kind is a fault, not a trap")
    func kinds() {
        #expect(throws: JSONFault.type) { try Self.read("[]") { try $0.string() } }
        #expect(throws: JSONFault.type) { try Self.read("{}") { try $0.beginArray() } }
        #expect(throws: JSONFault.type) { try Self.read("1") { try $0.bool() } }
        #expect(throws: JSONFault.syntax) { try Self.read("") { try $0.null() } }
        #expect(throws: JSONFault.syntax) { try Self.read("1") { _ = try $0.nextElement() } }
    }
}

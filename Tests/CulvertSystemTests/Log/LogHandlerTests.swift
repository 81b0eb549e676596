import CulvertSystem
import Foundation
import Logging
import NIOConcurrencyHelpers
import Testing

@Suite("Log lines")
struct LogHandlerTests {
    private func json(_ message: String = "m", _ metadata: Logger.Metadata = [:]) -> String {
        LogLine.json(time: 0, label: "culvert", level: .info, message: message, metadata: metadata)
    }

    private func text(_ message: String = "m", _ metadata: Logger.Metadata = [:]) -> String {
        LogLine.text(time: 0, label: "culvert", level: .info, message: message, metadata: metadata)
    }

    @Test(
        "Timestamps are RFC 3339 in UTC with milliseconds",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_767_225_599_007, "2025-12-31T23:59:59.007Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (.min, "0000-01-01T00:00:00.000Z"),
            (.max, "9999-12-31T23:59:59.999Z"),
        ] as [(Int64, String)]
    )
    func timestamps(time: Int64, expected: String) {
        #expect(LogLine.timestamp(time) == expected)
    }

    @Test("Timestamps agree with Foundation on days of four centuries")
    func timestampsAgree() {
        let formatter = ISO8601DateFormatter()
        formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        for day in stride(from: -80_000, through: 80_000, by: 37) as StrideThrough<Int64> {
            let time = day * 86_400_000 + 45_296_500
            let date = Date(timeIntervalSince1970: Double(time) / 1_000)
            #expect(LogLine.timestamp(time) == formatter.string(from: date))
        }
    }

    /// What must not appear in a line as it is.
    static let harmful: [String] =
        ((0..<0x20).map { $0 } + Array(0x7F...0x9F) + [0x2028, 0x2029, 0x202E, 0x2066])
        .compactMap { Unicode.Scalar($0 as UInt32).map { String(Character($0)) } }

    @Test("No character that ends a line or drives a terminal gets into a line, wherever it stands", arguments: harmful)
    func controlCharacters(character: String) throws {
        let bad = "a\(character)b"
        let metadata: Logger.Metadata = [bad: .string(bad), "list": [.string(bad)], "map": [bad: .string(bad)]]
        let scalar = try #require(character.unicodeScalars.first)
        let lines = [
            LogLine.json(time: 0, label: bad, level: .info, message: bad, metadata: metadata, error: bad),
            LogLine.text(time: 0, label: bad, level: .info, message: bad, metadata: metadata, error: bad),
        ]
        for line in lines {
            #expect(!line.unicodeScalars.contains(scalar))
        }
    }

    @Test(
        "JSON gives back what went in",
        arguments: harmful + ["", "\"", "\\", "\\n", "</script>", "ü", "👩‍👩‍👧", "e\u{301}", "{}", "a b=c"]
    )
    func jsonRoundTrip(value: String) throws {
        let line = json(value, ["key": .string(value), value + "!": "x", "list": [.string(value)]])
        let object = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        #expect((object["message"] as? String).map { Array($0.utf8) } == Array(value.utf8))
        #expect((object["key"] as? String).map { Array($0.utf8) } == Array(value.utf8))
        #expect((object["list"] as? [String])?.first.map { Array($0.utf8) } == Array(value.utf8))
        #expect(object[value + "!"] as? String == "x")
    }

    @Test("Numbers and booleans stay what they are in JSON; what JSON cannot say becomes a string")
    func jsonTypes() {
        let metadata: Logger.Metadata = [
            "a": .stringConvertible(5), "b": .stringConvertible(UInt64.max), "c": .stringConvertible(true),
            "d": .stringConvertible(1.5), "e": .stringConvertible(Double.nan), "f": ["x": .stringConvertible(-1)],
        ]
        #expect(
            json("m", metadata)
                == #"{"time":"1970-01-01T00:00:00.000Z","level":"info","logger":"culvert","message":"m","#
                + #""a":5,"b":18446744073709551615,"c":true,"d":1.5,"e":"nan","f":{"x":-1}}"#
        )
    }

    @Test("JSON shows a byte that is not UTF-8 by its number, rather than by its disguise")
    func opaqueBytes() throws {
        let line = json("m", ["agent": "\u{10FE80}caf\u{10FEE9}"])
        let object = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
        #expect(object["agent"] == #"\x80caf\xe9"#)
    }

    @Test("Metadata cannot hide the event's own fields", arguments: ["time", "level", "logger", "message", "error"])
    func reservedNames(name: String) throws {
        let line = LogLine.json(
            time: 0,
            label: "culvert",
            level: .info,
            message: "m",
            metadata: [name: "forged", "field.\(name)": "other"],
            error: "e"
        )
        let object = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
        #expect(object[name] != "forged")
        #expect(object["field.\(name)"] == "forged")
        #expect(object["field.field.\(name)"] == "other")
        #expect(object.count == 7)
    }

    @Test(
        "Text quotes a value that is not a plain word",
        arguments: [
            ("word", "word"), ("127.0.0.1:80", "127.0.0.1:80"), ("", #""""#), ("two words", #""two words""#),
            ("a=b", #""a=b""#), (#"a"b"#, #""a\"b""#), (#"a\b"#, #""a\\b""#), ("a\nb", #""a\nb""#),
            ("\u{1B}[31m", #""\u{1b}[31m""#), ("ü", #""ü""#), ("\r\n", #""\r\n""#),
            ("caf\u{10FEE9}", #""caf\xe9""#),
        ]
    )
    func textFields(value: String, expected: String) {
        #expect(text("m", ["key": .string(value)]) == "1970-01-01T00:00:00.000Z info culvert: m key=\(expected)")
    }

    @Test("Text sorts its fields and writes nested ones as JSON")
    func textNested() {
        let line = text("hello there", ["b": ["x", .stringConvertible(2)], "a": .stringConvertible(1)])
        #expect(line == #"1970-01-01T00:00:00.000Z info culvert: hello there a=1 b="[\"x\",2]""#)
    }

    @Test("Both formats write one line for an event, with metadata of logger, provider and event merged in this order")
    func handlers() {
        let lines = NIOLockedValueBox<[String]>([])
        let provider = Logger.MetadataProvider { ["b": "provider", "c": "provider"] }
        for format in [LogFormat.json, .text] {
            let sink = LogSink(format: format, now: { 1 }) { line in
                lines.withLockedValue { $0.append(String(decoding: line, as: UTF8.self)) }
            }
            var logger = Logger(label: "edge") { label in
                LineLogHandler(label: label, level: .debug, metadataProvider: provider, sink: sink)
            }
            logger[metadataKey: "a"] = "own"
            logger[metadataKey: "b"] = "own"
            logger.trace("below the level")
            logger.debug("said", metadata: ["c": "event"])
        }
        #expect(
            lines.withLockedValue { $0 } == [
                #"{"time":"1970-01-01T00:00:00.001Z","level":"debug","logger":"edge","message":"said","#
                    + #""a":"own","b":"provider","c":"event"}"# + "\n",
                "1970-01-01T00:00:00.001Z debug edge: said a=own b=provider c=event\n",
            ]
        )
    }

    // MARK: - bounds

    /// Texts of a peer that cost most: plain, escaped to six bytes each, and of several bytes a character.
    static let long = ["x", "\u{1}", "\"", "ü", "\u{202E}", "👩‍👩‍👧"].map { String(repeating: $0, count: 20_000) }

    @Test("A field of any length is cut at its bound, and says so", arguments: long)
    func fieldsAreCut(value: String) throws {
        for text in [json("m", ["key": .string(value)]), text("m", ["key": .string(value)])] {
            #expect(text.utf8.count < LogLine.fieldLimit + 200, "\(text.utf8.count) bytes of \(value.utf8.count)")
            #expect(text.contains(" bytes more]"))
        }
        let line = json("m", ["key": .string(value), "other": "here"])
        let object = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
        #expect(object["other"] == "here")
        // The cut does not fall within a character's bytes.
        #expect(object["key"]?.contains("\u{FFFD}") == false)
    }

    @Test("A line of any number of fields, or of one nested without end, is bounded, and JSON is still JSON")
    func linesAreCut() throws {
        let many = (0..<3000).map { ("key\($0)", Logger.MetadataValue.string(String(repeating: "v", count: 900))) }
        let list = Logger.MetadataValue.array(many.map(\.1))
        let cases: [Logger.Metadata] = [
            Dictionary(uniqueKeysWithValues: many), ["list": list], ["map": .dictionary(["a": list, "b": list])],
        ]
        for metadata in cases {
            let line = json("m", metadata)
            #expect(line.utf8.count < LogLine.lineLimit + 2 * LogLine.fieldLimit, "\(line.utf8.count) bytes")
            #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: Data(line.utf8)) }
            #expect(text("m", metadata).utf8.count < LogLine.lineLimit + 2 * LogLine.fieldLimit)
        }
        let object = try JSONSerialization.jsonObject(with: Data(json("m", cases[0]).utf8)) as? [String: Any]
        #expect((object?["field.omitted"] as? Int ?? 0) > 2900)
    }
}

import CulvertCore
import NIOCore
import Testing

struct PollCodecMalformedTests {
    private static let prefix = [UInt8](repeating: 0, count: 15) + [1]

    private static func refusal(binary frames: [UInt8], prefix: [UInt8] = Self.prefix) -> PollProblem? {
        problem { () throws(PollProblem) in
            try PollCodec.decodeBinary(ByteBuffer(bytes: prefix + frames), messageLimit: 1000)
        }
    }

    private static func refusal(json text: [UInt8]) -> PollProblem? {
        problem { () throws(PollProblem) in
            try PollCodec.decodeJSON(ByteBuffer(bytes: text), messageLimit: 1000)
        }
    }

    @Test("A binary batch without both numbers is 400", arguments: 0..<16)
    func shortPrefix(length: Int) {
        #expect(Self.refusal(binary: [], prefix: [UInt8](repeating: 0, count: length))?.status == 400)
    }

    @Test(
        "A malformed frame in a batch is 400",
        arguments: [
            ("half a header", [0x81]),
            ("payload cut off", [0x81, 3, 0x61, 0x62]),
            ("16 bit length cut off", [0x82, 126, 1]),
            ("64 bit length cut off", [0x82, 127, 0, 0, 0, 0, 0, 1, 0]),
            ("length not minimal", [0x82, 126, 0, 1, 0x61]),
            ("length with its highest bit", [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            ("masked", [0x81, 0x81, 1, 2, 3, 4, 0x60]),
            ("masked and cut off", [0x81, 0x81]),
            ("reserved bit", [0xC1, 1, 0x61]),
            ("unknown opcode", [0x83, 0]),
            ("ping", [0x89, 0]),
            ("pong", [0x8A, 0]),
            ("continuation of nothing", [0x80, 1, 0x61]),
            ("fragment without end", [0x01, 1, 0x61]),
            ("text that is not UTF-8", [0x81, 1, 0xFF]),
            ("text that ends inside a character", [0x81, 2, 0xE2, 0x82]),
            ("a surrogate", [0x81, 3, 0xED, 0xA0, 0x80]),
            ("Close of one byte", [0x88, 1, 3]),
            ("Close with a code that may not be sent", [0x88, 2, 0x03, 0xED]),
            ("Close with a reason that is not UTF-8", [0x88, 3, 0x03, 0xE8, 0xFF]),
            ("Close cut off", [0x88, 2, 0x03]),
            ("message behind the Close", [0x88, 0, 0x81, 1, 0x61]),
            ("second Close", [0x88, 0, 0x88, 0]),
            ("half a header behind the Close", [0x88, 0, 0x81]),
        ] as [(String, [UInt8])])
    func malformedFrame(name: String, frames: [UInt8]) {
        #expect(Self.refusal(binary: frames)?.status == 400, "\(name)")
        #expect(Self.refusal(binary: [0x82, 1, 0] + frames)?.status == 400, "\(name), behind a good frame")
    }

    @Test("Messages are numbered from 1: a binary batch that begins with 0 is 400, and one without messages is none")
    func numberedFromZero() throws {
        let zeros = [UInt8](repeating: 0, count: 16)
        #expect(Self.refusal(binary: [0x82, 1, 0], prefix: zeros)?.detail.contains("numbered from 1") == true)
        #expect(Self.refusal(binary: [0x88, 0], prefix: zeros) == nil)
        #expect(throws: PollProblem.self) {
            try BatchOutline.of(ByteBuffer(bytes: zeros + [0x82, 1, 0]), batchLimit: 1000)
        }
    }

    @Test("Messages of a batch are whole: a fragmented one is 400")
    func fragmented() {
        #expect(Self.refusal(binary: [0x01, 1, 0x61, 0x80, 1, 0x62])?.status == 400)
    }

    @Test("A huge announced length is 413 without the memory for it")
    func hugeLength() {
        #expect(Self.refusal(binary: [0x82, 127, 0x7F] + [UInt8](repeating: 0xFF, count: 7))?.status == 413)
    }

    @Test("No cut and no flipped bit of a good batch traps, and no cut passes for the whole")
    func mutilated() throws {
        let batch = PollBatch(
            ack: 9, first: 4, messages: [textMessage("héllo"), textMessage(String(repeating: "x", count: 200))],
            close: CloseFrame(code: .normal, reason: "bye"))
        for codec in [PollCodec.binary, .json] {
            let whole = Array(codec.encode(batch).readableBytesView)
            for length in 0..<whole.count {
                let read = try? codec.decode(ByteBuffer(bytes: whole[..<length]), messageLimit: 1000)
                // The line end behind the JSON is no part of it.
                if length < whole.count - 1 { #expect(read != batch) }
            }
            for index in whole.indices {
                for bit in 0..<8 {
                    var bytes = whole
                    bytes[index] ^= 1 << UInt8(bit)
                    _ = try? codec.decode(ByteBuffer(bytes: bytes), messageLimit: 1000)
                }
            }
        }
    }

    @Test("Random bytes never trap either form", arguments: 0..<40 as Range<UInt64>)
    func randomBytes(seed: UInt64) {
        var random = PollRandom(seed: seed)
        for _ in 0..<100 {
            let count = Int.random(in: 0...200, using: &random)
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            _ = Self.refusal(binary: bytes)
            _ = Self.refusal(json: bytes)
        }
    }

    @Test(
        "A JSON batch of another shape is 400 and the field is named",
        arguments: [
            (#"{"ack":"3"}"#, "ack"),
            (#"{"first":true}"#, "first"),
            (#"{"messages":{}}"#, "messages"),
            (#"{"first":1,"messages":["hi"]}"#, "messages[0]"),
            (#"{"first":1,"messages":[{"text":"a"},{}]}"#, "messages[1]"),
            (#"{"first":1,"messages":[{"text":"a","binary":"YQ=="}]}"#, "messages[0]"),
            (#"{"first":1,"messages":[{"text":1}]}"#, "messages[0].text"),
            (#"{"first":1,"messages":[{"binary":"Y"}]}"#, "messages[0].binary"),
            (#"{"first":1,"messages":[{"binary":"Y-=="}]}"#, "messages[0].binary"),
            (#"{"messages":[{"text":"a"}]}"#, "first"),
            (#"{"first":0,"messages":[{"text":"a"}]}"#, "first"),
            (#"{"close":1}"#, "close"),
            (#"{"close":{"code":"1000"}}"#, "close.code"),
            (#"{"close":{"code":1005}}"#, "close"),
            (#"{"close":{"code":1006}}"#, "close"),
            (#"{"close":{"code":1000,"reason":5}}"#, "close.reason"),
        ])
    func wrongShape(text: String, field: String) {
        let refused = Self.refusal(json: Array(text.utf8))
        #expect(refused?.status == 400)
        #expect(refused?.detail.contains(field) == true, "\(refused?.detail ?? "taken")")
    }

    @Test(
        "A number that does not fit is 400 and the field is named",
        arguments: [
            (#"{"ack":-1}"#, "ack"),
            (#"{"ack":1.5}"#, "ack"),
            (#"{"first":18446744073709551616,"messages":[]}"#, "first"),
            (#"{"close":{"code":70000}}"#, "close.code"),
        ])
    func wrongNumber(text: String, field: String) {
        let refused = Self.refusal(json: Array(text.utf8))
        #expect(refused?.status == 400)
        #expect(refused?.detail.contains(field) == true)
    }

    @Test(
        "What is not JSON, or not an object, is 400",
        arguments: [
            "", " ", "null", "[]", "3", "\"x\"", "{", "{}}", "{} {}", "{\"ack\":}", "{ack:1}",
            "{'ack':1}", "{\"ack\":01}", #"{"first":1,"messages":[{"text":"\ud800"}]}"#,
            #"{"first":1,"messages":[{"text":"\x"}]}"#, "{\"first\":1,\"messages\":[{\"text\":\"a\nb\"}]}",
            String(repeating: "[", count: 100_000), String(repeating: "{\"ack\":", count: 100_000),
        ])
    func notJSON(text: String) {
        #expect(Self.refusal(json: Array(text.utf8))?.status == 400)
    }

    @Test("Text in JSON that is not UTF-8 is 400")
    func jsonNotUTF8() {
        let text = Array(#"{"first":1,"messages":[{"text":"?"}]}"#.utf8)
        #expect(Self.refusal(json: text) == nil)
        #expect(Self.refusal(json: text.map { $0 == UInt8(ascii: "?") ? 0xFF : $0 })?.status == 400)
    }

    @Test(
        "An unknown member is 400 and named",
        arguments: [
            (#"{"acks":1}"#, "acks"),
            (#"{"first":1,"messages":[{"text":"a","opcode":2}]}"#, "opcode"),
            (#"{"close":{"code":1000,"why":"x"}}"#, "why"),
        ])
    func unknownMember(text: String, name: String) {
        let refused = Self.refusal(json: Array(text.utf8))
        #expect(refused?.status == 400)
        #expect(refused?.detail.contains(name) == true)
    }

    @Test("A close reason needs a code to stand behind")
    func reasonWithoutCode() {
        #expect(Self.refusal(json: Array(#"{"close":{"reason":"x"}}"#.utf8))?.status == 400)
    }

    @Test("A close reason of 123 bytes passes, one more is 400")
    func longReason() {
        for count in [123, 124] {
            let text = #"{"close":{"code":1000,"reason":"\#(String(repeating: "r", count: count))"}}"#
            #expect(Self.refusal(json: Array(text.utf8))?.status == (count > 123 ? 400 : nil))
        }
    }

    @Test("A problem never quotes a payload")
    func quietProblems() {
        let secret = "hunter2hunter2"
        let refused = Self.refusal(json: Array(#"{"first":1,"messages":[{"text":"\#(secret)"},{}]}"#.utf8))
        #expect(refused.map { !$0.detail.contains(secret) } == true)
    }
}

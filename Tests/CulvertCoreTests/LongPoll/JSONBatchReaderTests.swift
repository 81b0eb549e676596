import NIOCore
import Testing

@testable import CulvertCore

@Suite("The JSON form of a batch, read so much at a time")
struct JSONBatchReaderTests {
    /// Reads `text` by calls that read `most` messages each.
    ///
    /// - Returns: the batch, and the number of calls.
    private static func read(_ text: ByteBuffer, most: Int) throws(PollProblem) -> (PollBatch, calls: Int) {
        var reader = JSONBatchReader(text, messageLimit: 100_000)
        var calls = 0
        while true {
            calls += 1
            if let batch = try reader.read(most) { return (batch, calls) }
        }
    }

    @Test("A batch is the same whatever is read at a time", arguments: 0..<50 as Range<UInt64>)
    func same(seed: UInt64) throws {
        var random = PollRandom(seed: seed)
        var batch = PollBatch(ack: random.next(), first: random.next())
        for _ in 0..<Int.random(in: 0...40, using: &random) {
            let length = Int.random(in: 0...600, using: &random)
            if Bool.random(using: &random) {
                batch.append(textMessage(String(repeating: "é\"\\", count: length / 3)))
            } else {
                let bytes = (0..<length).map { _ in UInt8.random(in: .min ... .max, using: &random) }
                batch.append(PollMessage(opcode: .binary, payload: ByteBuffer(bytes: bytes)))
            }
        }
        if Bool.random(using: &random) { batch.close = CloseFrame(code: CloseCode(rawValue: 4000), reason: "bye") }
        let text = PollCodec.encodeJSON(batch)
        for most in [1, 2, 7, 64, .max] { #expect(try Self.read(text, most: most).0 == batch, "\(most) at a time") }
    }

    @Test(
        "A fault is the same whatever is read at a time",
        arguments: [
            "", " ", "{", "[]", #"{"ack":1,"ack":2}"#, #"{"first":1,"messages":[{"text":"a"},]}"#,
            #"{"first":1,"messages":[{"text":"a"}"#, #"{"messages":[{"text":"a"}]}"#, #"{"ack":1}x"#,
            #"{"first":1,"messages":[{"text":"a"},{"binary":"YQ="}]}"#, #"{"first":1,"messages":[],"x":1}"#,
            #"{"first":1,"messages":[{"text":"a"}],"close":{"reason":"without a code"}}"#,
        ])
    func faults(text: String) {
        let whole = problem { () throws(PollProblem) in try Self.read(ByteBuffer(string: text), most: .max).0 }
        #expect(whole?.status == 400)
        for most in 1...3 {
            let parts = problem { () throws(PollProblem) in try Self.read(ByteBuffer(string: text), most: most).0 }
            #expect(parts == whole)
        }
    }

    @Test("A character that is cut by the end of a part is UTF-8, and a byte that begins none is not")
    func characters() throws {
        for spaces in 0..<8 {
            let text = String(repeating: " ", count: 250 + spaces) + #"{"first":1,"messages":[{"text":"€😀é"}]}"#
            #expect(try Self.read(ByteBuffer(string: text), most: 1).0.messages == [textMessage("€😀é")])
            var broken = ByteBuffer(string: text)
            broken.writeBytes([0xC3])
            #expect(problem { () throws(PollProblem) in try Self.read(broken, most: 1).0 }?.status == 400)
        }
    }

    @Test("Attack: very many messages, or very long blanks, are many parts", arguments: [#"{"text":""},"#, "    "])
    func parts(unit: String) throws {
        let count = 200_000
        let filling = String(repeating: unit, count: count)
        let text = ByteBuffer(string: #"{"first":1,"messages":["# + filling + #"{"text":""}]}"#)
        let (batch, calls) = try Self.read(text, most: 2048)
        print("tried \(text.readableBytes) bytes of JSON with \(batch.messages.count) messages: \(calls) parts")
        #expect(batch.messages.count == (unit == "    " ? 1 : count + 1))
        #expect(calls > (unit == "    " ? 1 : 2 * count / 2048))
    }
}

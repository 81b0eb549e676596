import CulvertCore
import NIOCore
import Testing

struct PollCodecRoundTripTests {
    private static func batch(seed: UInt64) -> PollBatch {
        var random = PollRandom(seed: seed)
        var batch = PollBatch(ack: random.next(), first: UInt64.random(in: 1...(.max >> 1), using: &random))
        for _ in 0..<Int.random(in: 0...6, using: &random) { batch.append(random.message()) }
        if random.chance(40) {
            let code: UInt16 = [1000, 1001, 1008, 1014, 3000, 4999].randomElement(using: &random) ?? 1000
            let reason = ["", "so long", "\"é\\\n€"].randomElement(using: &random) ?? ""
            batch.close = CloseFrame(code: CloseCode(rawValue: code), reason: reason)
        }
        return batch
    }

    @Test(
        "What is written is what is read, in both forms", arguments: [PollCodec.binary, .json], 0..<60 as Range<UInt64>)
    func roundTrip(codec: PollCodec, seed: UInt64) throws {
        let batch = Self.batch(seed: seed)
        #expect(try codec.decode(codec.encode(batch), messageLimit: 1 << 20) == batch)
    }

    @Test(
        "All 64 bits of a number survive, also those a Double would lose",
        arguments: [PollCodec.binary, .json],
        [0, 1, 1 << 53, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, .max - 1, .max] as [UInt64])
    func exactNumbers(codec: PollCodec, number: UInt64) throws {
        let batch = PollBatch(ack: number, first: number)
        let read = try codec.decode(codec.encode(batch), messageLimit: 10)
        #expect(read.ack == number)
        #expect(read.first == number)
    }

    @Test("The binary form is ack, first, then plain frames, Close last")
    func binaryBytes() {
        let batch = PollBatch(
            ack: 3, first: 0x0102_0304_0506_0708,
            messages: [textMessage("hi"), PollMessage(opcode: .binary, payload: ByteBuffer(bytes: [0xFF]))],
            close: CloseFrame(code: .normal, reason: "x"))
        let bytes: [UInt8] = [
            0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8,
            0x81, 2, 0x68, 0x69, 0x82, 1, 0xFF, 0x88, 3, 0x03, 0xE8, 0x78,
        ]
        #expect(PollCodec.encodeBinary(batch) == ByteBuffer(bytes: bytes))
    }

    @Test("The JSON of the specification is read as it says")
    func specificationExample() throws {
        let text = #"""
            {"ack":3,"first":8,"messages":[{"text":"hi"},{"binary":"AP8="}],"close":{"code":1000,"reason":""}}
            """#
        let expected = PollBatch(
            ack: 3, first: 8,
            messages: [textMessage("hi"), PollMessage(opcode: .binary, payload: ByteBuffer(bytes: [0, 0xFF]))],
            close: CloseFrame(code: .normal))
        #expect(try PollCodec.decodeJSON(ByteBuffer(string: text), messageLimit: 10) == expected)
    }

    @Test(
        "Every member of the JSON form may be missing",
        arguments: [
            ("{}", PollBatch(ack: 0, first: 0)),
            (#"{"ack":7}"#, PollBatch(ack: 7, first: 0)),
            (#"{"messages":[]}"#, PollBatch(ack: 0, first: 0)),
            (#"{"close":{}}"#, PollBatch(ack: 0, first: 0, close: CloseFrame(code: nil))),
            (#"{"close":{"code":1001}}"#, PollBatch(ack: 0, first: 0, close: CloseFrame(code: .goingAway))),
            (
                #" { "messages" : [ { "text" : "\ud83d\ude00\u0000" } ] , "first" : 1 } "#,
                PollBatch(ack: 0, first: 1, messages: [textMessage("😀\u{0}")])
            ),
        ])
    func optionalMembers(text: String, expected: PollBatch) throws {
        #expect(try PollCodec.decodeJSON(ByteBuffer(string: text), messageLimit: 10) == expected)
    }

    @Test("A Close without a code is read back from either form", arguments: [PollCodec.binary, .json])
    func closeWithoutCode(codec: PollCodec) throws {
        let batch = PollBatch(ack: 1, first: 2, close: CloseFrame(code: nil))
        #expect(try codec.decode(codec.encode(batch), messageLimit: 10) == batch)
    }

    @Test("A long close reason is cut alike in both forms")
    func longReason() throws {
        let batch = PollBatch(
            ack: 1, first: 2, close: CloseFrame(code: .normal, reason: String(repeating: "é", count: 100)))
        let cut = String(repeating: "é", count: 61)
        #expect(try PollCodec.decodeBinary(PollCodec.encodeBinary(batch), messageLimit: 10).close?.reason == cut)
        #expect(try PollCodec.decodeJSON(PollCodec.encodeJSON(batch), messageLimit: 10).close?.reason == cut)
    }

    @Test("A message of exactly the limit passes, one byte more is 413", arguments: [PollCodec.binary, .json])
    func limit(codec: PollCodec) {
        for opcode in [Opcode.text, .binary] {
            for length in [100, 101] {
                let message = PollMessage(opcode: opcode, payload: ByteBuffer(repeating: 0x61, count: length))
                let body = codec.encode(PollBatch(ack: 0, first: 1, messages: [textMessage(""), message]))
                let refused = problem { () throws(PollProblem) in try codec.decode(body, messageLimit: 100) }
                #expect(refused?.status == (length > 100 ? 413 : nil), "\(opcode) of \(length)")
            }
        }
    }

    @Test("A batch counts the request body that its payloads share")
    func counted() throws {
        let body = PollCodec.encodeBinary(
            PollBatch(
                ack: 0, first: 1, messages: [textMessage("a"), textMessage(String(repeating: "b", count: 100_000))]))
        let read = try PollCodec.decodeBinary(body, messageLimit: 1 << 20)
        #expect(read.messages.count == 2)
        #expect(read.heldBytes >= body.storageCapacity)
    }
}

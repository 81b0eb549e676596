import CulvertCore
import NIOCore
import Testing

/// What one batch may cost: messages, memory, and what the JSON form may contain.
struct PollBatchBoundsTests {
    private static func batch(_ lengths: [Int], _ opcode: Opcode) -> PollBatch {
        PollBatch(
            ack: 0, first: 1,
            messages: lengths.map { PollMessage(opcode: opcode, payload: ByteBuffer(repeating: 0x61, count: $0)) })
    }

    @Test(
        "Each message of a batch counts with 16 bytes more than its payload; one that is alone may be larger",
        arguments: [
            ([0, 0, 0], 48, true), ([0, 0, 0], 47, false), ([10, 6], 48, true), ([10, 7], 48, false),
            ([1000], 16, true), ([1000, 0], 1031, false), ([1000, 0], 1032, true), ([], 0, true),
        ] as [([Int], Int, Bool)], [PollCodec.binary, .json])
    func budget(table: ([Int], Int, Bool), codec: PollCodec) {
        let (lengths, limit, fits) = table
        for opcode in [Opcode.text, .binary] {
            let body = codec.encode(Self.batch(lengths, opcode))
            let refused = problem { () throws(PollProblem) in
                try codec.decode(body, messageLimit: 2000, batchLimit: limit)
            }
            #expect(refused?.status == (fits ? nil : 413), "\(lengths) within \(limit)")
        }
    }

    @Test("The flood of empty messages is refused at the message that is too many", arguments: [PollCodec.binary, .json])
    func flood(codec: PollCodec) {
        let limit = 1 << 16
        let most = limit / 16
        #expect(throws: PollProblem.self) {
            try codec.decode(
                codec.encode(Self.batch(Array(repeating: 0, count: most + 1), .text)), messageLimit: 100,
                batchLimit: limit)
        }
        // What stands behind that message is not looked at.
        var body = ByteBuffer(integer: UInt64(0))
        body.writeInteger(UInt64(1))
        for _ in 0...most { body.writeBytes([0x81, 0]) }
        body.writeRepeatingByte(0xFF, count: 10)
        let refused = problem { () throws(PollProblem) in
            try PollCodec.decodeBinary(body, messageLimit: 100, batchLimit: limit)
        }
        #expect(refused?.status == 413)
    }

    @Test("Many small messages cost their body and a few bytes each", arguments: [PollCodec.binary, .json], [0, 1, 20])
    func heldBytes(codec: PollCodec, length: Int) throws {
        let count = 10_000
        let body = codec.encode(Self.batch(Array(repeating: length, count: count), .binary))
        let read = try codec.decode(body, messageLimit: 100)
        #expect(read.messages.count == count)
        // A buffer and an array grow by doubling.
        #expect(read.heldBytes <= 2 * (body.readableBytes + count * 32) + 1000)
        #expect(read.heldBytes >= count * (length + 16))
    }

    // MARK: - the JSON form

    private static func read(_ text: String) throws -> PollBatch {
        try PollCodec.decodeJSON(ByteBuffer(string: text), messageLimit: 1000)
    }

    @Test(
        "What JSON allows is read",
        arguments: [
            (#"{"first":1,"messages":[{"text":"\u0041\u00e9\u20ac\ud83d\ude00\b\f\n\r\t\"\\\/"}]}"#, "Aé€😀\u{8}\u{C}\n\r\t\"\\/"),
            (#"{"\u0066irst":1,"\u006dessages":[{"te\u0078t":"a"}]}"#, "a"),
            (#"{"first":1,"messages":[{"text":"a","binary":null}]}"#, "a"),
            (#"{"messages":[{"binary":null,"text":"a"}],"close":null,"ack":null,"first":1}"#, "a"),
            ("\u{FEFF}{\"first\":1,\r\n\t\"messages\" : [ { \"text\" : \"a\" } ] } \n", "a"),
            (#"{"first":1,"messages":[{"text":""}]}"#, ""),
        ])
    func accepted(text: String, expected: String) throws {
        #expect(try Self.read(text).messages == [textMessage(expected)])
    }

    @Test(
        "Base64 is read whatever its length, also with its slashes escaped",
        arguments: [("", []), ("YQ==", [0x61]), ("YWI=", [0x61, 0x62]), ("YWJj", [0x61, 0x62, 0x63]), (#"\/\/8="#, [255, 255])]
            as [(String, [UInt8])])
    func base64(text: String, bytes: [UInt8]) throws {
        let read = try Self.read(#"{"first":1,"messages":[{"binary":"\#(text)"}]}"#)
        #expect(read.messages == [PollMessage(opcode: .binary, payload: ByteBuffer(bytes: bytes))])
    }

    @Test(
        "What is no batch is 400",
        arguments: [
            #"{"ack":1,"ack":2}"#, #"{"ack":1,"\u0061ck":2}"#, #"{"first":1,"messages":[],"messages":[]}"#,
            #"{"first":1,"messages":[{"text":"a","text":"b"}]}"#, #"{"close":{"code":1000,"code":1001}}"#,
            #"{"ack":1,}"#, #"{,"ack":1}"#, #"{"ack" 1}"#, #"{"ack":1 "first":2}"#, #"{"ack":1e2}"#, #"{"ack":1.0}"#,
            #"{"ack":+1}"#, #"{"ack":nul}"#, #"{"ack":1}x"#, #"{"messages":[,]}"#, #"{"messages":[null]}"#,
            #"{"first":1,"messages":[{"text":"a"},]}"#, #"{"first":1,"messages":[{"text":"a"}"#,
            #"{"first":1,"messages":[{"text":"\ud800\ud800"}]}"#, #"{"first":1,"messages":[{"text":"\udc00"}]}"#,
            #"{"first":1,"messages":[{"text":"\ud800x"}]}"#, #"{"first":1,"messages":[{"text":"\u00g0"}]}"#,
            #"{"first":1,"messages":[{"text":"\u00"#, #"{"first":1,"messages":[{"text":"\"#,
            #"{"first":1,"messages":[{"binary":"YQ="}]}"#, #"{"first":1,"messages":[{"binary":"===="}]}"#,
            #"{"first":1,"messages":[{"binary":"YQ==YQ=="}]}"#, #"{"first":1,"messages":[{"binary":"Y Q="}]}"#,
            #"{"first":1,"messages":[{"binary":"YWI\u00e9"}]}"#, #"{"a\u0000ck":1}"#, #"{"":1}"#,
        ])
    func refused(text: String) {
        let refused = problem { () throws(PollProblem) in
            try PollCodec.decodeJSON(ByteBuffer(string: text), messageLimit: 1000)
        }
        #expect(refused?.status == 400, "\(text)")
    }

    @Test("A batch stands anywhere in its buffer")
    func offset() throws {
        var body = ByteBuffer(string: #"xxxx{"first":7,"messages":[{"text":"h\u0069"},{"binary":"aGk="}]}"#)
        body.moveReaderIndex(forwardBy: 4)
        let whole = body
        let read = try PollCodec.decodeJSON(body, messageLimit: 10)
        #expect(read.messages == [textMessage("hi"), PollMessage(opcode: .binary, payload: ByteBuffer(string: "hi"))])
        #expect(body == whole, "the caller's bytes are not written to")
    }

    @Test("A string is quoted by bytes, and read back the same", arguments: 0..<30 as Range<UInt64>)
    func quoting(seed: UInt64) throws {
        var random = PollRandom(seed: seed)
        for _ in 0..<20 {
            let message = random.message()
            let batch = PollBatch(ack: 0, first: 1, messages: [message])
            #expect(try PollCodec.decodeJSON(PollCodec.encodeJSON(batch), messageLimit: 1 << 20) == batch)
        }
        #expect(JSONBytes.quoted("a\"\\\n\r\t\u{0}\u{1F}é😀") == #""a\"\\\n\r\t\u0000\u001fé😀""#)
    }
}

package import NIOCore

extension PollCodec {
    /// `ack` and `first` as 64 bits in network order, then unmasked frames (RFC 6455 section 5.2).
    package static func encodeBinary(_ batch: PollBatch) -> ByteBuffer {
        var out = ByteBuffer()
        out.reserveCapacity(self.binaryLength(batch))
        Self.binary.write(batch, into: &out)
        return out
    }

    /// The same as a binary message of a WebSocket to the client, whole.
    package static func encodeEnvelope(_ batch: PollBatch) -> ByteBuffer {
        let length = self.binaryLength(batch)
        var out = ByteBuffer()
        out.reserveCapacity(FrameWriter.length(payload: length))
        FrameWriter.writeHeader(.binary, payload: length, into: &out)
        Self.binary.write(batch, into: &out)
        return out
    }

    static func binaryLength(_ batch: PollBatch) -> Int {
        let messages = batch.messages.reduce(16) { $0 + FrameWriter.length(payload: $1.payload.readableBytes) }
        return messages + (batch.close.map { FrameWriter.length(payload: $0.payload().count) } ?? 0)
    }

    /// The messages share the memory of `body`: a batch costs what its body does, and some bytes for each message.
    package static func decodeBinary(
        _ body: ByteBuffer, messageLimit: Int, batchLimit: Int = .max
    ) throws(PollProblem) -> PollBatch {
        var body = body
        guard let ack = body.readInteger(as: UInt64.self), let first = body.readInteger(as: UInt64.self) else {
            throw PollProblem(400, "A batch begins with ack and first, 8 bytes each.")
        }
        var batch = PollBatch(ack: ack, first: first)
        var budget = BatchBudget(messageLimit: messageLimit, batchLimit: batchLimit)
        // The batch's frames follow a server's rules: no mask. No Culvert extension changes them either.
        var scanner = FrameScanner(sender: .server, messageLimit: messageLimit, allowedRSV: 0, validateText: false)
        while body.readableBytes > 0 {
            switch body.withUnsafeReadableBytes({ scanner.readFrame($0) }) {
            case .incomplete: throw self.cutOff
            case .violation(.messageTooBig, _): throw BatchBudget.messageTooLong
            case .violation(_, let why): throw self.malformed(why)
            case .header(let header):
                guard header.fin else { throw self.malformed("fragmented message") }
                if header.opcode == .close {
                    guard batch.close == nil else { throw PollProblem(400, "A second Close frame.") }
                    // The scanner has checked it.
                    let close = body.withUnsafeReadableBytes { try? FrameScanner.closeFrame($0, header) }
                    batch.close = close ?? CloseFrame(code: nil)
                    body.moveReaderIndex(forwardBy: header.frameLength)
                    continue
                }
                guard !header.opcode.isControl else {
                    throw PollProblem(400, "Only text, binary and Close frames may be in a batch.")
                }
                guard batch.close == nil else { throw PollProblem(400, "A message follows the Close frame.") }
                body.moveReaderIndex(forwardBy: header.headerLength)
                guard let payload = body.readSlice(length: header.payloadLength) else { throw self.cutOff }
                if header.opcode == .text, !self.isUTF8(payload) { throw self.malformed("text is not UTF-8") }
                try budget.take(payload.readableBytes)
                batch.messages.append(PollMessage(opcode: header.opcode, payload: payload))
            }
        }
        return batch
    }

    private static let cutOff = PollProblem(400, "The last frame is cut off.")

    private static func malformed(_ why: String) -> PollProblem { PollProblem(400, "Malformed frame: \(why).") }

    private static func isUTF8(_ text: ByteBuffer) -> Bool {
        var validator = UTF8Validator()
        return text.withUnsafeReadableBytes { validator.consume($0) } && validator.isComplete
    }
}

/// The budget of the messages of one batch (docs/protocol.md, `max_message` and `max_batch`).
struct BatchBudget {
    static let messageTooLong = PollProblem(413, "A message is longer than max_message.")
    private static let batchTooLarge = PollProblem(
        413, "The batch is larger than max_batch, where each message counts with 16 bytes more than its payload.")

    let messageLimit: Int
    let batchLimit: Int
    private(set) var count = 0
    private var bytes = 0

    init(messageLimit: Int, batchLimit: Int) {
        self.messageLimit = messageLimit
        self.batchLimit = batchLimit
    }

    /// Takes a message of `length` bytes. A message that is alone in its batch may be larger than `max_batch`.
    mutating func take(_ length: Int) throws(PollProblem) {
        if length > self.messageLimit { throw Self.messageTooLong }
        self.count += 1
        self.bytes += length + SendWindow.overhead
        if self.count > 1, self.bytes > self.batchLimit { throw Self.batchTooLarge }
    }
}

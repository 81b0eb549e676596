package import NIOCore

/// Reads the binary form of a batch, so many messages at a time: a batch of very many messages costs milliseconds.
///
/// The messages share the memory of the body: a batch costs what its body does, and some bytes for each message.
package struct BinaryBatchReader: Sendable {
    /// The part of the body that the reader has not read yet.
    private var body: ByteBuffer
    private var batch: PollBatch
    private var budget: BatchBudget
    /// The batch's frames follow a server's rules: no mask. No Culvert extension changes them either.
    private var scanner: FrameScanner

    /// - Parameters:
    ///   - messageLimit: bytes of one message; a longer one is refused with 413.
    ///   - batchLimit: bytes of several messages, each with ``PollMessage/overhead``; more are refused with 413.
    package init(_ body: ByteBuffer, messageLimit: Int, batchLimit: Int = .max) throws(PollProblem) {
        var body = body
        guard let ack = body.readInteger(as: UInt64.self), let first = body.readInteger(as: UInt64.self) else {
            throw PollProblem(400, "A batch begins with ack and first, 8 bytes each.")
        }
        self.body = body
        self.batch = PollBatch(ack: ack, first: first)
        self.budget = BatchBudget(messageLimit: messageLimit, batchLimit: batchLimit)
        self.scanner = FrameScanner(sender: .server, messageLimit: messageLimit, allowedRSV: 0, validateText: false)
    }

    /// How many messages the reader has read.
    package var count: Int { self.batch.messages.count }

    /// Bytes of memory that the body and its messages take.
    package var heldBytes: Int {
        self.body.storageCapacity + self.batch.messages.capacity * MemoryLayout<PollMessage>.stride
    }

    /// Reads at most `most` frames more.
    ///
    /// - Returns: the batch, once the body is read to its end; nil before.
    package mutating func read(_ most: Int) throws(PollProblem) -> PollBatch? {
        var left = most
        while self.body.readableBytes > 0 {
            guard left > 0 else { return nil }
            left -= 1
            try self.readFrame()
        }
        return self.batch
    }

    private mutating func readFrame() throws(PollProblem) {
        let read = self.body.withUnsafeReadableBytes { self.scanner.readFrame($0) }
        switch read {
        case .incomplete: throw Self.cutOff
        case .violation(.messageTooBig, _): throw self.budget.messageTooLong
        case .violation(_, let why): throw Self.malformed(why)
        case .header(let header): try self.take(header)
        }
    }

    private mutating func take(_ header: FrameHeader) throws(PollProblem) {
        guard header.fin else { throw Self.malformed("fragmented message") }
        if header.opcode == .close {
            guard self.batch.close == nil else { throw PollProblem(400, "A second Close frame.") }
            // The scanner has checked it.
            let close = self.body.withUnsafeReadableBytes { try? FrameScanner.closeFrame($0, header) }
            self.batch.close = close ?? CloseFrame(code: nil)
            self.body.moveReaderIndex(forwardBy: header.frameLength)
            return
        }
        guard !header.opcode.isControl else {
            throw PollProblem(400, "Only text, binary and Close frames may be in a batch.")
        }
        guard self.batch.close == nil else { throw PollProblem(400, "A message follows the Close frame.") }
        self.body.moveReaderIndex(forwardBy: header.headerLength)
        guard let payload = self.body.readSlice(length: header.payloadLength) else { throw Self.cutOff }
        if header.opcode == .text, !Self.isUTF8(payload) { throw Self.malformed("text is not UTF-8") }
        guard self.batch.first > 0 else { throw BatchBudget.numberedFromZero }
        try self.budget.take(payload.readableBytes)
        self.batch.append(PollMessage(opcode: header.opcode, payload: payload))
    }

    private static let cutOff = PollProblem(400, "The last frame is cut off.")

    private static func malformed(_ why: String) -> PollProblem { PollProblem(400, "Malformed frame: \(why).") }

    private static func isUTF8(_ text: ByteBuffer) -> Bool {
        var validator = UTF8Validator()
        return text.withUnsafeReadableBytes { validator.consume($0) } && validator.isComplete
    }
}

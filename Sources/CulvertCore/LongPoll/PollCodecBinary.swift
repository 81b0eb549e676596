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

    /// Reads a whole batch at once. ``BinaryBatchReader`` does so in slices.
    package static func decodeBinary(
        _ body: ByteBuffer, messageLimit: Int, batchLimit: Int = .max
    ) throws(PollProblem) -> PollBatch {
        var reader = try BinaryBatchReader(body, messageLimit: messageLimit, batchLimit: batchLimit)
        while true {
            if let batch = try reader.read(.max) { return batch }
        }
    }
}

/// The budget of the messages of one batch (docs/protocol.md, `max_message` and `max_batch`).
struct BatchBudget {
    /// By number 0 the edge would take the first message for one that it has already.
    static let numberedFromZero = PollProblem(400, "first is 0, and messages are numbered from 1.")
    static let batchTooLarge = PollProblem(
        413, "The batch is larger than max_batch, where each message counts with 16 bytes more than its payload.")

    let messageLimit: Int
    let batchLimit: Int
    private(set) var count = 0
    private var bytes = 0

    init(messageLimit: Int, batchLimit: Int) {
        self.messageLimit = messageLimit
        self.batchLimit = batchLimit
    }

    /// Names both names of the limit: the client knows the one, the operator sets the other.
    var messageTooLong: PollProblem {
        let limit = SizeText.text(self.messageLimit)
        return PollProblem(413, "A message is longer than max_message (limits.message.from_client, \(limit)).")
    }

    /// Takes a message of `length` bytes. A message that is alone in its batch may be larger than `max_batch`.
    mutating func take(_ length: Int) throws(PollProblem) {
        if length > self.messageLimit { throw self.messageTooLong }
        self.count += 1
        self.bytes += length + PollMessage.overhead
        if self.count > 1, self.bytes > self.batchLimit { throw Self.batchTooLarge }
    }
}

package import NIOCore

/// Reads the JSON form of a batch in pieces of some messages each, because a batch of very many messages costs
/// milliseconds.
///
/// All members are optional, but a batch with messages needs `first`. The messages share the memory of one copy of the
/// body.
package struct JSONBatchReader {
    private var body: ByteBuffer
    private var reader: BatchReader
    private var isRead = false
    /// The batch so far. It gets its messages once the reader has found all of them: until then the body changes in
    /// place, and each message would keep a copy of the body.
    private var batch = PollBatch(ack: 0, first: 0)

    /// - Parameters:
    ///   - messageLimit: bytes of one message; a longer one is refused with 413.
    ///   - batchLimit: bytes of several messages, each with ``PollMessage/overhead``; more are refused with 413.
    package init(_ body: ByteBuffer, messageLimit: Int, batchLimit: Int = .max) {
        self.body = body
        self.reader = BatchReader(budget: BatchBudget(messageLimit: messageLimit, batchLimit: batchLimit))
    }

    /// The number of messages that the reader has found.
    package var count: Int { self.reader.messages.count }

    /// Bytes of memory that the body and its messages take.
    package var heldBytes: Int {
        self.body.storageCapacity + self.reader.messages.capacity * MemoryLayout<BatchReader.Message>.stride
            + self.batch.messages.capacity * MemoryLayout<PollMessage>.stride
    }

    /// Reads about `most` messages more.
    ///
    /// - Returns: the batch, once the body is read to its end; nil before.
    package mutating func read(_ most: Int) throws(PollProblem) -> PollBatch? {
        guard self.isRead else {
            try self.find(most)
            return self.isRead && most == .max ? try self.read(most) : nil
        }
        let done = self.batch.messages.count
        for message in self.reader.messages[done...].prefix(most) {
            let start = self.body.readerIndex + message.start
            // The reader has found the message within the body.
            let payload = self.body.getSlice(at: start, length: message.length) ?? ByteBuffer()
            self.batch.append(PollMessage(opcode: message.opcode, payload: payload))
        }
        return self.batch.messages.count == self.count ? self.batch : nil
    }

    private mutating func find(_ most: Int) throws(PollProblem) {
        var body = self.body
        // A body that `self` shares would be copied by each call.
        self.body = ByteBuffer()
        let read = body.withUnsafeMutableReadableBytes { bytes in
            Result { () throws(PollProblem) in try self.reader.read(bytes, most: most) }
        }
        self.body = body
        self.isRead = try read.get()
        guard self.isRead else { return }
        self.batch = PollBatch(ack: self.reader.ack ?? 0, first: self.reader.first ?? 0)
        self.batch.reserveCapacity(self.count)
        if self.count > 0, self.reader.first == nil { throw PollProblem(400, "first is needed beside messages.") }
        if self.count > 0, self.reader.first == 0 { throw BatchBudget.numberedFromZero }
        if let close = self.reader.close { self.batch.close = try PollCodec.checkClose(close) }
    }
}

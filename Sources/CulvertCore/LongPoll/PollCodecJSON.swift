package import NIOCore

/// The JSON form, for people and for scripts that would rather not count bytes.
extension PollCodec {
    package static func encodeJSON(_ batch: PollBatch) -> ByteBuffer {
        var out = ByteBuffer()
        out.reserveCapacity(self.binaryLength(batch) + 64 + 16 * batch.messages.count)
        Self.json.write(batch, into: &out)
        return out
    }

    /// The text of a batch before its first message.
    static func jsonHead(_ batch: PollBatch) -> String {
        "{\"ack\":\(batch.ack),\"first\":\(batch.first),\"messages\":["
    }

    /// The text of a batch behind its last message.
    static func jsonTail(_ batch: PollBatch) -> String {
        guard let close = batch.close else { return "]}\n" }
        // Through the frame's payload, so that both forms drop and cut the same.
        let sent = (try? CloseFrame.parse(payload: close.payload())) ?? CloseFrame(code: nil)
        let code = sent.code.map { "\"code\":\($0.rawValue)," } ?? ""
        return "],\"close\":{\(code)\"reason\":\(JSONBytes.quoted(sent.reason))}}\n"
    }

    /// Bytes of ``encodeJSON(_:)``.
    static func jsonLength(_ batch: PollBatch) -> Int {
        var length = self.jsonHead(batch).utf8.count + self.jsonTail(batch).utf8.count
        length += max(0, batch.messages.count - 1)
        for message in batch.messages {
            if message.opcode == .text {
                // {"text":"…"}
                length += 11 + message.payload.withUnsafeReadableBytes { JSONBytes.escapedLength($0) }
            } else {
                // {"binary":"…"}
                length += 13 + (message.payload.readableBytes + 2) / 3 * 4
            }
        }
        return length
    }

    /// All members are optional, but `first` is needed beside messages. The messages share the memory of one copy of
    /// `body`.
    package static func decodeJSON(
        _ body: ByteBuffer, messageLimit: Int, batchLimit: Int = .max
    ) throws(PollProblem) -> PollBatch {
        var reader = JSONBatchReader(body, messageLimit: messageLimit, batchLimit: batchLimit)
        while true {
            if let batch = try reader.read(.max) { return batch }
        }
    }

    /// Checks the close code and reason of a client, from JSON or from the query of a DELETE.
    package static func checkClose(_ frame: CloseFrame) throws(PollProblem) -> CloseFrame {
        if let code = frame.code, !code.mayAppearOnWire {
            throw PollProblem(400, "close code \(code.rawValue) may not be sent.")
        }
        // RFC 6455 5.5.1: the reason follows the code.
        if frame.code == nil, !frame.reason.isEmpty { throw PollProblem(400, "A close.reason needs a close.code.") }
        guard frame.reason.utf8.count <= 123 else { throw PollProblem(400, "A close reason has at most 123 bytes.") }
        return frame
    }
}

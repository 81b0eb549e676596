package import NIOCore

extension PollCodec {
    /// `ack` and `first` as 64 bits in network order, then unmasked frames (RFC 6455 section 5.2).
    package static func encodeBinary(_ batch: PollBatch) -> ByteBuffer {
        var out = ByteBuffer()
        out.reserveCapacity(self.binaryLength(batch))
        self.write(batch, into: &out)
        return out
    }

    /// The same as a binary message of a WebSocket to the client, whole.
    package static func encodeEnvelope(_ batch: PollBatch) -> ByteBuffer {
        let length = self.binaryLength(batch)
        var out = ByteBuffer()
        out.reserveCapacity(FrameWriter.length(payload: length))
        FrameWriter.writeHeader(.binary, payload: length, into: &out)
        self.write(batch, into: &out)
        return out
    }

    private static func binaryLength(_ batch: PollBatch) -> Int {
        let messages = batch.messages.reduce(16) { $0 + FrameWriter.length(payload: $1.payload.readableBytes) }
        return messages + (batch.close.map { FrameWriter.length(payload: $0.payload().count) } ?? 0)
    }

    private static func write(_ batch: PollBatch, into out: inout ByteBuffer) {
        out.writeInteger(batch.ack)
        out.writeInteger(batch.first)
        for message in batch.messages {
            FrameWriter.write(message.opcode, payload: message.payload, mask: nil, into: &out)
        }
        if let close = batch.close { FrameWriter.close(close, mask: nil, into: &out) }
    }

    package static func decodeBinary(_ body: ByteBuffer, messageLimit: Int) throws(PollProblem) -> PollBatch {
        var body = body
        guard let ack = body.readInteger(as: UInt64.self), let first = body.readInteger(as: UInt64.self) else {
            throw PollProblem(400, "A batch begins with ack and first, 8 bytes each.")
        }
        var batch = PollBatch(ack: ack, first: first)
        // The batch's frames follow a server's rules: no mask. No Culvert extension changes them either.
        var assembler = MessageAssembler(sender: .server, messageLimit: messageLimit, allowsFragments: false)
        assembler.append(body)
        while true {
            switch assembler.next() {
            case .needMore:
                guard assembler.isIdle else { throw PollProblem(400, "The last frame is cut off.") }
                return batch
            case .message(let opcode, let payload):
                guard batch.close == nil else { throw PollProblem(400, "A message follows the Close frame.") }
                batch.messages.append(PollMessage(opcode: opcode, payload: payload))
            case .control(.close, let payload):
                guard batch.close == nil else { throw PollProblem(400, "A second Close frame.") }
                // The assembler has checked it.
                batch.close = (try? CloseFrame.parse(payload: payload.readableBytesView)) ?? CloseFrame(code: nil)
            case .control:
                throw PollProblem(400, "Only text, binary and Close frames may be in a batch.")
            case .violation(.messageTooBig, _):
                throw PollProblem(413, "A message is longer than max_message.")
            case .violation(_, let why):
                throw PollProblem(400, "Malformed frame: \(why).")
            }
        }
    }
}

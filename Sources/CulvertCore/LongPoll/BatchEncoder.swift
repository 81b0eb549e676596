package import NIOCore

/// Makes one of the two forms of a batch in pieces. The batch shares its messages' memory with the window that they are
/// from, so that an answer which its client does not take costs a piece, and not the window once more.
package struct BatchEncoder: Sendable {
    /// The number of bytes of all pieces together.
    package let length: Int

    private enum Stage {
        case head
        /// In the message at `index`, of whose payload `offset` bytes are written.
        case message(index: Int, offset: Int)
        case tail
        case done
    }

    private let batch: PollBatch
    private let codec: PollCodec
    private var stage = Stage.head

    package init(_ batch: PollBatch, codec: PollCodec) {
        self.batch = batch
        self.codec = codec
        self.length =
            switch codec {
            case .binary: PollCodec.binaryLength(batch)
            case .json: PollCodec.jsonLength(batch)
            }
    }

    /// - Parameter size: bytes from which on a piece ends. Text of JSON that is all escapes takes up to six times that.
    /// - Returns: nil behind the last piece.
    package mutating func next(_ size: Int) -> ByteBuffer? {
        if case .done = self.stage { return nil }
        var out = ByteBuffer()
        out.reserveCapacity(min(size, self.length) + 64)
        while out.readableBytes < size {
            switch self.stage {
            case .head:
                self.codec.writeHead(self.batch, into: &out)
                self.stage = self.batch.messages.isEmpty ? .tail : .message(index: 0, offset: 0)
            case .message(let index, let offset):
                self.write(index, from: offset, room: size - out.readableBytes, into: &out)
            case .tail:
                self.codec.writeTail(self.batch, into: &out)
                self.stage = .done
            case .done: return out
            }
        }
        return out
    }

    private mutating func write(_ index: Int, from offset: Int, room: Int, into out: inout ByteBuffer) {
        let message = self.batch.messages[index]
        if offset == 0 { self.codec.begin(message, isFirst: index == 0, into: &out) }
        let length = message.payload.readableBytes
        // A whole group of base64, unless it is the last.
        let end = min(length, offset + max(3, room / 3 * 3))
        message.payload.withUnsafeReadableBytes { bytes in
            self.codec.write(UnsafeRawBufferPointer(rebasing: bytes[offset..<end]), of: message, into: &out)
        }
        guard end == length else {
            self.stage = .message(index: index, offset: end)
            return
        }
        self.codec.end(message, into: &out)
        let isLast = index + 1 == self.batch.messages.count
        self.stage = isLast ? .tail : .message(index: index + 1, offset: 0)
    }
}

/// A form's parts, in the order in which they are written: head, each message, tail.
extension PollCodec {
    /// Writes the whole of a batch.
    func write(_ batch: PollBatch, into out: inout ByteBuffer) {
        self.writeHead(batch, into: &out)
        for (index, message) in batch.messages.enumerated() {
            self.begin(message, isFirst: index == 0, into: &out)
            message.payload.withUnsafeReadableBytes { self.write($0, of: message, into: &out) }
            self.end(message, into: &out)
        }
        self.writeTail(batch, into: &out)
    }

    func writeHead(_ batch: PollBatch, into out: inout ByteBuffer) {
        switch self {
        case .binary:
            out.writeInteger(batch.ack)
            out.writeInteger(batch.first)
        case .json: out.writeString(Self.jsonHead(batch))
        }
    }

    func begin(_ message: PollMessage, isFirst: Bool, into out: inout ByteBuffer) {
        switch self {
        case .binary: FrameWriter.writeHeader(message.opcode, payload: message.payload.readableBytes, into: &out)
        case .json:
            if !isFirst { out.writeInteger(UInt8(ascii: ",")) }
            out.writeStaticString(message.opcode == .text ? "{\"text\":\"" : "{\"binary\":\"")
        }
    }

    /// - Parameter part: of the message's payload; of all parts but the last the length divides by 3.
    func write(_ part: UnsafeRawBufferPointer, of message: PollMessage, into out: inout ByteBuffer) {
        switch self {
        case .binary: out.writeBytes(part)
        case .json where message.opcode == .text: JSONBytes.escape(part, into: &out)
        case .json: JSONBytes.writeBase64(part, into: &out)
        }
    }

    func end(_ message: PollMessage, into out: inout ByteBuffer) {
        if case .json = self { out.writeStaticString("\"}") }
    }

    func writeTail(_ batch: PollBatch, into out: inout ByteBuffer) {
        switch self {
        case .binary: if let close = batch.close { FrameWriter.close(close, mask: nil, into: &out) }
        case .json: out.writeString(Self.jsonTail(batch))
        }
    }
}

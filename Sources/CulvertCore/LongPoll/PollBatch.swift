package import NIOCore

/// One whole message.
package struct PollMessage: Equatable, Sendable {
    /// Bytes that the protocol counts for a message beside its payload.
    package static let overhead = 16

    /// Text or binary.
    package var opcode: Opcode
    package var payload: ByteBuffer

    package init(opcode: Opcode, payload: ByteBuffer) {
        self.opcode = opcode
        self.payload = payload
    }
}

/// The envelope of every lane, both ways.
package struct PollBatch: Equatable, Sendable {
    /// The last sequence number received in order.
    package var ack: UInt64
    /// Sequence number of the first message; of the next one when there is none.
    package var first: UInt64
    package private(set) var messages: [PollMessage]
    /// Bytes of payload of all messages, counted as they come: a batch may have very many.
    package private(set) var payloadBytes: Int
    /// The sender's Close, behind the messages.
    package var close: CloseFrame?

    package init(ack: UInt64, first: UInt64, messages: [PollMessage] = [], close: CloseFrame? = nil) {
        self.ack = ack
        self.first = first
        self.messages = messages
        self.payloadBytes = messages.reduce(0) { $0 + $1.payload.readableBytes }
        self.close = close
    }

    package mutating func reserveCapacity(_ count: Int) { self.messages.reserveCapacity(count) }

    package mutating func append(_ message: PollMessage) {
        self.messages.append(message)
        self.payloadBytes += message.payload.readableBytes
    }

    /// Bytes of payload without the first `skipped` messages.
    package func payloadBytes(behind skipped: Int) -> Int {
        self.messages.prefix(skipped).reduce(self.payloadBytes) { $0 - $1.payload.readableBytes }
    }

    /// Bytes of memory that a batch takes which was read from a body: its messages share that.
    package var heldBytes: Int {
        let body = self.messages.first?.payload.storageCapacity ?? 0
        return body + self.messages.capacity * MemoryLayout<PollMessage>.stride + 128
    }

    /// Bytes of the binary form.
    package var encodedBytes: Int { PollCodec.binaryLength(self) }
}

/// A batch that cannot be read; nothing of it is taken.
package struct PollProblem: Error, Equatable, Sendable {
    /// HTTP status.
    package var status: Int
    package var detail: String

    package init(_ status: Int, _ detail: String) {
        self.status = status
        self.detail = detail
    }
}

/// The two forms of a batch.
package enum PollCodec: Sendable {
    case binary
    case json

    package var mediaType: String {
        switch self {
        case .binary: "application/vnd.culvert.batch"
        case .json: "application/json"
        }
    }

    package func encode(_ batch: PollBatch) -> ByteBuffer {
        switch self {
        case .binary: Self.encodeBinary(batch)
        case .json: Self.encodeJSON(batch)
        }
    }

    /// - Parameters:
    ///   - messageLimit: bytes of one message; a longer one is refused with 413.
    ///   - batchLimit: bytes of several messages, each with ``PollMessage/overhead``; more are refused with 413.
    package func decode(
        _ body: ByteBuffer, messageLimit: Int, batchLimit: Int = .max
    ) throws(PollProblem) -> PollBatch {
        switch self {
        case .binary: try Self.decodeBinary(body, messageLimit: messageLimit, batchLimit: batchLimit)
        case .json: try Self.decodeJSON(body, messageLimit: messageLimit, batchLimit: batchLimit)
        }
    }
}

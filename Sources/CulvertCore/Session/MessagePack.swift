import NIOCore

/// Messages of a window in as few pieces of memory as possible.
///
/// A message in a buffer of its own costs more than a hundred bytes beside its payload, so that a window of very small
/// messages would hold many times what it counts. Small messages are copied one behind another into a pack of a few
/// KiB; a larger message is a pack by itself, in the buffer that it came in.
struct MessagePack: Sendable {
    /// Bytes of payload from which on a message is a pack by itself.
    private static let large = 1024
    /// Bytes of payload in a pack of small messages.
    private static let size = 4096
    /// Messages in a pack, for empty ones.
    private static let most = 1024
    /// The cost of a pack beside its bytes: an entry of the window, and two objects with their headers.
    private static let cost = 216

    /// The number of the first message that was packed, dropped or not.
    private let first: UInt64
    private var bytes: ByteBuffer
    /// The offset in `bytes` at which each message ends, times two, and one more for text. Empty in a pack of one large
    /// message.
    private var ends: [UInt32] = []
    /// The opcode of a message that is a pack by itself.
    private let opcode: Opcode
    /// Messages at the front of `ends` that are dropped already.
    private var dropped = 0

    /// A pack that no other message joins.
    init(alone message: PollMessage, number: UInt64) {
        self.first = number
        self.bytes = message.payload
        self.opcode = message.opcode
    }

    init(_ message: PollMessage, number: UInt64) {
        self.init(alone: message, number: number)
        guard message.payload.readableBytes < Self.large else { return }
        self.bytes = ByteBuffer()
        self.ends.reserveCapacity(8)
        self.pack(message)
    }

    private var isAlone: Bool { self.ends.isEmpty }

    var count: Int { self.isAlone ? 1 : self.ends.count - self.dropped }

    /// The number of the last message.
    var last: UInt64 { self.isAlone ? self.first : self.first &+ UInt64(self.ends.count) &- 1 }

    var heldBytes: Int { Self.cost + self.bytes.storageCapacity + self.ends.capacity * 4 }

    /// Bytes of payload that are not dropped.
    var payloadBytes: Int {
        self.isAlone ? self.bytes.readableBytes : self.bytes.writerIndex - self.start(self.dropped)
    }

    /// - Returns: false when the pack has no room for the message.
    mutating func append(_ message: PollMessage) -> Bool {
        let length = message.payload.readableBytes
        guard !self.isAlone, length < Self.large, self.ends.count < Self.most,
            self.bytes.writerIndex + length <= Self.size
        else { return false }
        self.pack(message)
        return true
    }

    private mutating func pack(_ message: PollMessage) {
        self.bytes.writeImmutableBuffer(message.payload)
        self.ends.append(UInt32(truncatingIfNeeded: self.bytes.writerIndex) << 1 | (message.opcode == .text ? 1 : 0))
    }

    private func start(_ entry: Int) -> Int { entry == 0 ? 0 : Int(self.ends[entry - 1] >> 1) }

    func length(_ index: Int) -> Int {
        if self.isAlone { return self.bytes.readableBytes }
        let entry = self.dropped + index
        return Int(self.ends[entry] >> 1) - self.start(entry)
    }

    /// The message at `index`, which shares the pack's memory.
    subscript(index: Int) -> PollMessage {
        if self.isAlone { return PollMessage(opcode: self.opcode, payload: self.bytes) }
        let entry = self.dropped + index
        let payload = self.bytes.getSlice(at: self.start(entry), length: self.length(index)) ?? ByteBuffer()
        return PollMessage(opcode: self.ends[entry] & 1 == 1 ? .text : .binary, payload: payload)
    }

    /// Drops `count` messages of more at the front.
    ///
    /// - Returns: bytes of their payload.
    mutating func drop(_ count: Int) -> Int {
        let before = self.payloadBytes
        self.dropped += count
        return before - self.payloadBytes
    }
}

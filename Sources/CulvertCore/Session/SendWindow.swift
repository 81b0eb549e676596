import DequeModule
import NIOCore

/// Messages numbered from 1 and kept until they are acknowledged.
package struct SendWindow: Sendable {
    package enum Ack: Equatable, Sendable {
        case ok
        /// The acknowledgement is older than an earlier one, and changes nothing.
        case stale
        /// A number that was never sent.
        case beyond(last: UInt64)
    }

    /// Bytes that a message counts beside its payload. A packed message costs about as much.
    package static let overhead = PollMessage.overhead
    /// Most messages of a batch to the client. A request of few bytes, which may be repeated, makes the edge take a
    /// batch out of the window and write it in one turn of the loop.
    package static let messagesPerBatch = 2048

    /// The bytes from which ``isFull`` is true.
    package var byteLimit: Int
    private var packs: Deque<MessagePack> = []
    package private(set) var acknowledged: UInt64 = 0
    package private(set) var lastSequence: UInt64 = 0
    /// Payload and ``overhead`` of what is unacknowledged.
    package private(set) var bytes = 0
    /// Bytes of memory that what is unacknowledged takes.
    package private(set) var heldBytes = 0

    /// - Parameter byteLimit: the bytes from which ``isFull`` is true. One more message may be
    ///   appended, because it has been read already.
    package init(byteLimit: Int) {
        self.byteLimit = byteLimit
    }

    package var isEmpty: Bool { self.lastSequence == self.acknowledged }
    package var isFull: Bool { self.bytes >= self.byteLimit }

    /// The message's sequence number.
    package mutating func append(_ message: PollMessage) -> UInt64 {
        self.bytes += message.payload.readableBytes + Self.overhead
        self.lastSequence &+= 1
        if let last = self.packs.indices.last {
            let before = self.packs[last].heldBytes
            if self.packs[last].append(message) {
                self.heldBytes += self.packs[last].heldBytes - before
                return self.lastSequence
            }
        }
        // A message that is alone stays in the buffer that it came in: most are acknowledged before the next comes.
        let number = self.lastSequence
        let pack =
            self.packs.isEmpty
            ? MessagePack(alone: message, number: number) : MessagePack(message, number: number)
        self.heldBytes += pack.heldBytes
        self.packs.append(pack)
        return self.lastSequence
    }

    /// Drops what `sequence` covers.
    package mutating func acknowledge(_ sequence: UInt64) -> Ack {
        if sequence > self.lastSequence { return .beyond(last: self.lastSequence) }
        if sequence <= self.acknowledged { return .stale }
        while self.acknowledged < sequence, let pack = self.packs.first {
            let count = min(pack.count, Int(clamping: sequence - self.acknowledged))
            if count == pack.count {
                self.bytes -= pack.payloadBytes + count * Self.overhead
                self.heldBytes -= pack.heldBytes
                self.packs.removeFirst()
            } else {
                self.bytes -= self.packs[self.packs.startIndex].drop(count) + count * Self.overhead
            }
            self.acknowledged &+= UInt64(count)
        }
        return .ok
    }

    /// Drops everything, acknowledged or not; the numbers stay used.
    package mutating func drop() {
        self.acknowledged = self.lastSequence
        self.packs = []
        self.bytes = 0
        self.heldBytes = 0
    }

    /// Messages behind `sequence` up to `maxBytes` of payload and `maxMessages`, but at least one if there is any.
    /// `first` is the number of the first, or of the next to come.
    package func batch(
        after sequence: UInt64, maxBytes: Int, maxMessages: Int = .max
    ) -> (first: UInt64, messages: [PollMessage]) {
        let start = max(sequence, self.acknowledged)
        guard start < self.lastSequence else { return (self.lastSequence &+ 1, []) }
        let place = self.pack(behind: start)
        // Messages at the front of the first pack that `sequence` covers.
        var skip = self.covered(by: start, inPackAt: place)
        var batch: [PollMessage] = []
        var bytes = 0
        for pack in self.packs[place...] {
            for index in skip..<pack.count {
                bytes += pack.length(index) + Self.overhead
                if !batch.isEmpty, bytes > maxBytes || batch.count >= maxMessages { return (start &+ 1, batch) }
                batch.append(pack[index])
            }
            skip = 0
        }
        return (start &+ 1, batch)
    }

    /// Whether more than `messages` messages, or more than `bytes` bytes of payload and ``overhead``, wait behind
    /// `sequence`. The cost does not depend on the window: the search ends where the answer is known.
    package func exceeds(messages: Int, bytes: Int, after sequence: UInt64) -> Bool {
        let start = max(sequence, self.acknowledged)
        guard start < self.lastSequence else { return false }
        if self.lastSequence - start > UInt64(clamping: messages) { return true }
        let place = self.pack(behind: start)
        var skip = self.covered(by: start, inPackAt: place)
        var sum = 0
        for pack in self.packs[place...] {
            for index in skip..<pack.count {
                sum += pack.length(index) + Self.overhead
                if sum > bytes { return true }
            }
            skip = 0
        }
        return false
    }

    /// The place of the pack that has the first message behind `sequence`, which is below ``lastSequence``. A window may
    /// have very many packs, and a lane that acknowledges late reads behind nearly all of them.
    private func pack(behind sequence: UInt64) -> Int {
        var (low, high) = (self.packs.startIndex, self.packs.endIndex)
        while low < high {
            let middle = low + (high - low) / 2
            if self.packs[middle].last > sequence { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// The number of messages of a pack that `sequence` covers and that are not dropped.
    private func covered(by sequence: UInt64, inPackAt place: Int) -> Int {
        guard place < self.packs.endIndex else { return 0 }
        let pack = self.packs[place]
        return pack.count - min(pack.count, Int(clamping: pack.last - sequence))
    }
}

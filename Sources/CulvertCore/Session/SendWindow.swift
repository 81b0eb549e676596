import DequeModule
import NIOCore

/// Messages numbered from 1 and kept until they are acknowledged.
package struct SendWindow: Sendable {
    package enum Ack: Equatable, Sendable {
        case ok
        /// Nothing new: an acknowledgement that was overtaken.
        case stale
        /// A number that was never sent.
        case beyond(last: UInt64)
    }

    /// What a message costs beside its payload.
    package static let overhead = 16

    /// Where ``isFull`` begins.
    package var byteLimit: Int
    private var messages: Deque<PollMessage> = []
    package private(set) var acknowledged: UInt64 = 0
    /// Payload and ``overhead`` of what is unacknowledged.
    package private(set) var bytes = 0

    /// - Parameter byteLimit: where ``isFull`` begins; one more message may be appended beyond it, since whoever
    ///   appends has read it already.
    package init(byteLimit: Int) {
        self.byteLimit = byteLimit
    }

    package var lastSequence: UInt64 { self.acknowledged &+ UInt64(self.messages.count) }
    package var isEmpty: Bool { self.messages.isEmpty }
    package var isFull: Bool { self.bytes >= self.byteLimit }

    /// The message's sequence number.
    package mutating func append(_ message: PollMessage) -> UInt64 {
        self.messages.append(message)
        self.bytes += message.payload.readableBytes + Self.overhead
        return self.lastSequence
    }

    /// Drops what `sequence` covers.
    package mutating func acknowledge(_ sequence: UInt64) -> Ack {
        if sequence > self.lastSequence { return .beyond(last: self.lastSequence) }
        if sequence <= self.acknowledged { return .stale }
        while self.acknowledged < sequence, let message = self.messages.popFirst() {
            self.bytes -= message.payload.readableBytes + Self.overhead
            self.acknowledged &+= 1
        }
        return .ok
    }

    /// Drops everything, acknowledged or not; the numbers stay used.
    package mutating func drop() {
        self.acknowledged = self.lastSequence
        self.messages = []
        self.bytes = 0
    }

    /// Messages behind `sequence` up to `maxBytes` of payload, but at least one if there is any; `first` is the number
    /// of the first, or of the next to come.
    package func batch(after sequence: UInt64, maxBytes: Int) -> (first: UInt64, messages: [PollMessage]) {
        let start = max(sequence, self.acknowledged)
        guard start < self.lastSequence else { return (self.lastSequence &+ 1, []) }
        var batch: [PollMessage] = []
        var bytes = 0
        for message in self.messages.dropFirst(Int(clamping: start - self.acknowledged)) {
            bytes += message.payload.readableBytes + Self.overhead
            if !batch.isEmpty, bytes > maxBytes { break }
            batch.append(message)
        }
        return (start &+ 1, batch)
    }
}

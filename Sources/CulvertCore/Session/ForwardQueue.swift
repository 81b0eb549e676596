import DequeModule
import NIOCore

/// Owns the batches that a resumable session has taken from its client and not yet given to the upstream, the Close
/// behind them, and the requests that are answered once everything in front of them has passed. A part of
/// ``ResumableTraffic``.
///
/// A small batch passes at once. A large batch passes in slices, so that the loop's other sessions wait for a slice and
/// not for a batch.
package struct ForwardQueue: Sendable {
    /// Bytes of payload that pass in one slice.
    package static let bytesPerTurn = 256 * 1024
    /// The cost of an answer, in messages.
    private static let messagesPerReply = 128
    /// The most requests that are answered at once. The driver answers more requests in later turns of the loop.
    package static let repliesAtOnce = 64

    /// A request that waits for its answer.
    package struct Reply: Equatable, Sendable {
        package let ticket: UInt64
        /// Whether the request closes the session. Such a request is answered empty.
        package let isClose: Bool

        package init(ticket: UInt64, isClose: Bool = false) {
            self.ticket = ticket
            self.isClose = isClose
        }
    }

    private struct Part {
        var messages: ArraySlice<PollMessage> = []
        var heldBytes = 0
        /// The Close for the upstream, which passes behind the part's last message.
        var close: CloseFrame?
        /// The request that is answered behind the part's last message and Close, or when the queue is dropped.
        var reply: Reply?
    }

    /// The messages, the Close and the requests that have left the queue.
    package struct Taken: Equatable, Sendable {
        package var messages: [ArraySlice<PollMessage>] = []
        package var close: CloseFrame?
        package var replies: [Reply] = []
    }

    private var parts: Deque<Part> = []
    /// Whether a later turn of the loop is scheduled for the rest.
    package var isScheduled = false

    package init() {}

    package var isEmpty: Bool { self.parts.isEmpty }
    /// Bytes of memory of all parts.
    package private(set) var heldBytes = 0
    /// Whether the Close for the upstream waits behind messages. A session has one such Close.
    package private(set) var hasClose = false

    package mutating func append(_ messages: ArraySlice<PollMessage>, heldBytes: Int) {
        self.parts.append(Part(messages: messages, heldBytes: heldBytes))
        self.heldBytes += heldBytes
    }

    /// Puts the Close for the upstream behind the messages. It passes in its turn, because there may be very many
    /// messages in front of it, and very many sessions may close in one moment.
    package mutating func append(_ close: CloseFrame) {
        self.parts.append(Part(close: close))
        self.hasClose = true
    }

    package mutating func append(_ reply: Reply) { self.parts.append(Part(reply: reply)) }

    /// Takes one turn's worth: at most `messages` messages, and `bytes` bytes of payload, which the last message may
    /// exceed.
    package mutating func take(messages: Int, bytes: Int = ForwardQueue.bytesPerTurn) -> Taken {
        var taken = Taken()
        var (messages, bytes) = (messages, bytes)
        while messages > 0, bytes > 0, var part = self.parts.popFirst() {
            var count = 0
            for message in part.messages {
                count += 1
                messages -= 1
                bytes -= message.payload.readableBytes
                if messages <= 0 || bytes <= 0 { break }
            }
            if count > 0 { taken.messages.append(part.messages.prefix(count)) }
            part.messages = part.messages.dropFirst(count)
            guard part.messages.isEmpty else {
                self.parts.prepend(part)
                break
            }
            self.heldBytes -= part.heldBytes
            if let close = part.close {
                taken.close = close
                self.hasClose = false
            }
            guard let reply = part.reply else { continue }
            taken.replies.append(reply)
            messages -= Self.messagesPerReply
        }
        return taken
    }

    /// Empties the queue. The messages do not pass.
    ///
    /// - Returns: the Close and the requests that waited behind the messages.
    package mutating func drop() -> Taken {
        var dropped = Taken()
        for part in self.parts {
            dropped.close = part.close ?? dropped.close
            if let reply = part.reply { dropped.replies.append(reply) }
        }
        self.parts = []
        self.heldBytes = 0
        self.hasClose = false
        return dropped
    }
}

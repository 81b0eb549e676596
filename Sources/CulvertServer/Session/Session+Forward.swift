import CulvertCore
import DequeModule
import NIOCore

/// Batches that were taken from the client and not yet given to the upstream.
///
/// A small batch passes at once. A large batch passes in slices (``LoopSlices``), so that the loop's other sessions
/// wait for a slice and not for a batch.
struct ForwardQueue {
    /// Bytes of payload that pass in one slice.
    static let bytesPerTurn = 256 * 1024

    struct Part {
        var messages: ArraySlice<PollMessage>
        var heldBytes: Int
        /// Called behind the part's last message, or with the reason why that does not pass.
        var respond: ((PollAnswer) -> Void)?
    }

    var parts: Deque<Part> = []
    var isScheduled = false
    /// Several batches pass now, and are flushed together: a flush costs as much as many small batches.
    var holdsFlush = false

    var isEmpty: Bool { self.parts.isEmpty }
    var heldBytes: Int { self.parts.reduce(0) { $0 + $1.heldBytes } }
}

extension Session {
    /// Forwards the messages of a batch that was taken: what fits into this turn now, the rest behind what waits
    /// already.
    func forward(_ messages: ArraySlice<PollMessage>, of batch: PollBatch) {
        if let rate = self.messageRate {
            self.credential?.entry.use.take(messages.count, rate: rate, now: .now())
        }
        self.polledCounts.messagesIn += UInt64(messages.count)
        for message in messages { self.polledCounts.bytesIn += UInt64(message.payload.readableBytes) }
        let waits = !self.forwarding.isEmpty
        self.forwarding.parts.append(ForwardQueue.Part(messages: messages, heldBytes: batch.heldBytes))
        if !waits { self.forwardSlice() }
    }

    /// Calls `respond` with `answer` once everything that was taken so far has been forwarded.
    func respondInOrder(_ respond: @escaping (PollAnswer) -> Void) {
        guard !self.forwarding.isEmpty else {
            respond(self.takenAnswer)
            return
        }
        self.forwarding.parts.append(ForwardQueue.Part(messages: [], heldBytes: 0, respond: respond))
    }

    private var takenAnswer: PollAnswer {
        .batch(PollBatch(ack: self.machine.received, first: self.machine.nextSequence))
    }

    /// Forwards one turn's worth. Nothing passes behind a Close.
    private func forwardSlice() {
        guard self.machine.closing.maySend(to: .server) else {
            self.dropForwarding(.problem(.gone(self.endFrame)))
            return
        }
        let slices = self.state.slices
        self.forwardParts(messages: slices.room, bytes: ForwardQueue.bytesPerTurn)
        guard !self.forwarding.isEmpty, !self.forwarding.isScheduled else { return }
        self.forwarding.isScheduled = true
        slices.enqueue(in: .sessions) {
            self.forwarding.isScheduled = false
            self.forwardMore()
        }
    }

    private func forwardMore() {
        self.forwardSlice()
        if self.forwarding.isEmpty { self.readLane() }
        self.accountMemory()
        self.arm()
    }

    /// Everything that was taken, now: a Close comes behind it.
    func flushForwarding() {
        guard !self.forwarding.isEmpty else { return }
        guard self.machine.closing.maySend(to: .server) else {
            self.dropForwarding(.problem(.gone(self.endFrame)))
            return
        }
        self.forwardParts(messages: .max, bytes: .max)
    }

    /// The session ends, or its token has died: the rest does not pass.
    func dropForwarding(_ answer: PollAnswer) {
        let parts = self.forwarding.parts
        self.forwarding.parts = []
        for part in parts { part.respond?(answer) }
    }

    private func forwardParts(messages: Int, bytes: Int) {
        var out = ByteBuffer()
        var passed = 0
        var messages = messages
        var bytes = bytes
        var answers: [(PollAnswer) -> Void] = []
        while messages > 0, bytes > 0, var part = self.forwarding.parts.popFirst() {
            while messages > 0, bytes > 0, let message = part.messages.popFirst() {
                messages -= 1
                passed += 1
                bytes -= message.payload.readableBytes
                FrameWriter.write(
                    message.opcode, payload: message.payload, mask: self.state.masks.next(), into: &out)
            }
            guard part.messages.isEmpty else {
                self.forwarding.parts.prepend(part)
                break
            }
            if let respond = part.respond { answers.append(respond) }
        }
        self.state.slices.notePassed(passed)
        if out.readableBytes > 0 {
            self.upstreamLeg.write(out)
            if !self.forwarding.holdsFlush { self.upstreamLeg.flush() }
        }
        for respond in answers { respond(self.takenAnswer) }
    }
}

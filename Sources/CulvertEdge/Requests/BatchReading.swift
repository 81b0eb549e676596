import CulvertCore
import NIOCore

/// Reads the large batch of a `POST` in slices, and gives it to its session. The slices of the request's loop call it,
/// until the batch is read or the request is gone. It is the request's task in place of the call, which it tells.
///
/// The connection counts the memory of the body and its messages, and is cut for them when memory is short.
final class BatchReading: RequestTask {
    /// Bytes of the largest body that is read at once.
    static func mostAtOnce(isBusy: Bool) -> Int { isBusy ? 512 : 4 * 1024 }

    /// Nil when the client has left. The slice in which the body has its turn keeps nothing of the request then.
    private var sending: BatchSending?
    /// The client whose turns the reading takes.
    private let client: AddressKey
    /// The body; empty once a reader has it.
    private var body: ByteBuffer
    /// Reads `most` messages more, and returns the batch when all are read. Nil before ``begin()`` and after
    /// ``drop()``.
    private var read: ((_ most: Int) throws(PollProblem) -> PollBatch?)?
    /// Bytes of memory that the body and its messages take.
    private var heldBytes: () -> Int = { 0 }

    init(_ body: ByteBuffer, of sending: BatchSending) {
        self.body = body
        self.sending = sending
        self.client = sending.call.request.client
    }

    /// Puts the body in the line of sessions, where it waits for its turn.
    func enqueue() {
        guard let request = self.sending?.call.request else { return }
        _ = request.exchange.hold(self.body.storageCapacity)
        request.task = self
        request.state.slices.enqueue(in: .sessions, of: self.client) { self.begin() }
    }

    // MARK: - RequestTask

    /// The turn of the body still comes, and does nothing.
    func clientLeft() {
        self.sending?.call.clientLeft()
        self.sending = nil
        self.drop()
    }

    func inputEnded() { self.sending?.call.inputEnded() }

    // MARK: - turns

    /// Frees the body and its messages.
    private func drop() {
        self.body = ByteBuffer()
        self.read = nil
        self.heldBytes = { 0 }
    }

    /// Begins to read when the body's turn has come. A binary batch that the session would not take is answered by its
    /// outline.
    private func begin() {
        guard let sending = self.sending, !sending.call.request.isGone else { return }
        let most = sending.call.request.state.rules.settings.maxBatch
        let body = self.body
        self.body = ByteBuffer()
        guard case .binary = sending.codec else {
            var reader = JSONBatchReader(body, messageLimit: sending.messageLimit, batchLimit: most)
            self.read = { (count) throws(PollProblem) in try reader.read(count) }
            self.heldBytes = { reader.heldBytes }
            self.readOn(for: sending.call)
            return
        }
        do throws(PollProblem) {
            let outline = try BatchOutline.of(body, batchLimit: most)
            var reader = try BinaryBatchReader(body, messageLimit: sending.messageLimit, batchLimit: most)
            self.read = { (count) throws(PollProblem) in try reader.read(count) }
            self.heldBytes = { reader.heldBytes }
            guard let outline else {
                self.readOn(for: sending.call)
                return
            }
            sending.call.ask(.outline(outline)) { self.readOn(for: sending.call) }
        } catch {
            self.end(sending.call)
            sending.call.answer(.badBatch(error))
        }
    }

    private func readOn(for call: SessionCall) {
        call.request.state.slices.repeatWhile(in: .sessions, of: self.client) {
            guard let call = self.sending?.call, !call.request.isGone, let read = self.read else { return false }
            do throws(PollProblem) {
                guard let batch = try read(LoopSlices.messages) else { return self.count(call) }
                self.end(call)
                call.ask(.send(batch))
            } catch {
                self.end(call)
                call.answer(.badBatch(error))
            }
            return false
        }
    }

    /// - Returns: whether there is memory to read on. If not, the request has been answered.
    private func count(_ call: SessionCall) -> Bool {
        let front = call.request.front
        let used = call.request.exchange.hold(self.heldBytes())
        guard let used, let ceiling = front.memoryCeiling, used > ceiling else { return true }
        front.note(.memoryFull)
        self.end(call)
        call.answer(.memoryFull)
        return false
    }

    /// Ends the reading. The connection counts nothing for the batch any more.
    private func end(_ call: SessionCall) {
        self.drop()
        _ = call.request.exchange.hold(0)
    }
}

import CulvertCore
import NIOCore
import NIOHTTP1

/// A `POST` with messages: what is known of it before its body.
struct BatchRequest {
    var codec: PollCodec
    var base: String
    var id: String
    var head: HTTPRequestHead
    var admission: Admission

    /// The most bytes that one message may have.
    var messageLimit: Int { self.admission.route.message.kept(from: .client) }
}

/// A body that waits for its turn, or is read in slices. Counts what it takes.
private final class WaitingBody {
    private var hold: MemoryHold

    init(_ body: ByteBuffer, memory: SessionMemory) {
        self.hold = MemoryHold(memory, isRequest: true)
        _ = self.hold.set(body.storageCapacity)
    }

    /// - Returns: what the process holds, if it is more now.
    func set(_ bytes: Int) -> Int? { self.hold.set(bytes) }
}

/// How a batch is read. A small batch is read at once. A large batch is read in slices of its loop, because it may cost
/// milliseconds and very many may come in the same moment. The connection is not read meanwhile, since its request has
/// no answer.
extension EdgeRequest {
    /// Bytes of a body that is read at once, and of a body that is read at once while the loop is busy.
    private static let smallBatch = 4 * 1024
    private static let tinyBatch = 512

    /// Asks the session whether it would take a batch at all, unless the batch is here already.
    func send(_ request: BatchRequest) {
        if self.exchange.isBodyHere {
            self.collect(request, claim: .unbounded)
        } else {
            let claim = SessionID(request.id).map { BodyClaim.session($0) } ?? .unbounded
            self.dispatch(.offer, of: request) { self.collect(request, claim: claim) }
        }
    }

    private func collect(_ request: BatchRequest, claim: BodyClaim) {
        let limit = self.state.rules.bodyLimit(request.admission.route.message)
        self.exchange.collectBody(limit: limit, claim: claim) { body in
            let slices = self.state.slices
            let bytes = body.readableBytes
            if bytes <= Self.tinyBatch || (bytes <= Self.smallBatch && !slices.isBusy) {
                self.read(body, of: request)
                return
            }
            let waiting = WaitingBody(body, memory: self.edge.memory)
            slices.enqueue(in: .sessions) { self.begin(body, waiting, of: request) }
        }
    }

    /// Reads a whole batch, and gives it to its session.
    private func read(_ body: ByteBuffer, of request: BatchRequest) {
        let rules = self.state.rules
        do throws(PollProblem) {
            let batch = try request.codec.decode(
                body, messageLimit: request.messageLimit, batchLimit: rules.settings.maxBatch)
            self.state.slices.notePassed(batch.messages.count)
            self.dispatch(.send(batch), of: request)
        } catch {
            self.refuse(error, request)
        }
    }

    /// The turn of a large body. The outline answers a batch that the session would not take.
    private func begin(_ body: ByteBuffer, _ waiting: WaitingBody, of request: BatchRequest) {
        guard !self.isGone else { return }
        guard case .binary = request.codec else {
            self.read(body, of: request)
            return
        }
        let rules = self.state.rules
        do throws(PollProblem) {
            let outline = try BatchOutline.of(body, batchLimit: rules.settings.maxBatch)
            let reader = try BinaryBatchReader(
                body, messageLimit: request.messageLimit, batchLimit: rules.settings.maxBatch)
            guard let outline else {
                self.readOn(reader, waiting, of: request)
                return
            }
            self.dispatch(.outline(outline), of: request) { self.readOn(reader, waiting, of: request) }
        } catch {
            self.refuse(error, request)
        }
    }

    private func readOn(_ reader: BinaryBatchReader, _ waiting: WaitingBody, of request: BatchRequest) {
        var reader = reader
        self.state.slices.repeatWhile(in: .sessions) {
            guard !self.isGone else { return false }
            do throws(PollProblem) {
                if let batch = try reader.read(LoopSlices.messages) {
                    self.dispatch(.send(batch), of: request)
                    return false
                }
            } catch {
                self.refuse(error, request)
                return false
            }
            let used = waiting.set(reader.heldBytes)
            guard let used, let ceiling = self.front.memoryCeiling, used > ceiling else { return true }
            self.front.note(.memoryFull)
            self.answer(.memoryFull, request.admission)
            return false
        }
    }

    /// Has an answer of a session of another loop written. That loop has taken a large batch out of the window in a
    /// slice; this one gives it its form in a slice, too.
    func inTurn(_ answer: PollAnswer, _ write: @escaping (EdgeRequest) -> Void) {
        let slices = self.state.slices
        guard case .batch(let batch, _) = answer else {
            write(self)
            return
        }
        let cost = batch.messages.count + batch.encodedBytes / LoopSlices.bytesPerMessage
        if cost > slices.room {
            slices.enqueue(in: .sessions) { write(self) }
        } else {
            slices.notePassed(cost)
            write(self)
        }
    }

    private func refuse(_ problem: PollProblem, _ request: BatchRequest) {
        self.answer(.problem(problem.status, "bad_batch", problem.detail), request.admission)
    }

    private func dispatch(_ kind: PollRequest.Kind, of request: BatchRequest, whenWelcome: (() -> Void)? = nil) {
        self.dispatch(
            kind, base: request.base, id: request.id, head: request.head, admission: request.admission,
            whenWelcome: whenWelcome)
    }
}

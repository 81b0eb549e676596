import CulvertCore
import NIOCore
import NIOHTTP1

/// A request of an open session: puts questions to the session, whose loop may be another, and writes its answer. What
/// serves the request owns it, and so does the request as its task; called on the request's loop.
final class SessionCall: RequestTask {
    let request: EdgeRequest
    let admission: Admission
    /// Nil for a text that is not an identifier. It gets the same answer as that of an unknown session.
    let id: SessionID?
    /// The path of the session.
    private let base: String
    /// Nil while no question is open.
    private var pending: Pending?

    /// The way of an answer back to the call. A session may keep it for seconds behind the work of its client, and keeps
    /// nothing of the request when its client is gone.
    private final class Reply {
        var call: SessionCall?

        init(to call: SessionCall) { self.call = call }
    }

    /// A question that the session has not answered.
    private struct Pending {
        var id: SessionID
        /// The session is told by it when the connection is gone.
        var ticket: UInt64
        var reply: Reply
        /// Reads the batch, when the session would take one.
        var whenWelcome: (() -> Void)?
    }

    /// - Parameter id: the path's name of the session.
    init(of request: EdgeRequest, base: String, id: String, _ admission: Admission) {
        self.request = request
        self.base = base
        self.id = SessionID(id)
        self.admission = admission
    }

    // MARK: - RequestTask

    /// Tells the loop that holds the session that the connection is gone.
    func clientLeft() {
        guard let pending = self.endQuestion() else { return }
        let (id, ticket) = (pending.id, pending.ticket)
        self.request.edge.onLoop(of: id) { $0.session(id)?.resumable?.requests.connectionLost(ticket: ticket) }
    }

    func inputEnded() {
        guard let pending = self.pending else { return }
        let (id, ticket) = (pending.id, pending.ticket)
        self.request.edge.onLoop(of: id) { $0.session(id)?.resumable?.requests.endInput(ticket: ticket) }
    }

    // MARK: - the question

    /// - Parameter whenWelcome: with an offer or an outline, to be done when the session would take a batch.
    func ask(_ kind: PollRequest.Kind, whenWelcome: (() -> Void)? = nil) {
        guard let id = self.id else {
            self.answer(.failure(.unknownSession))
            return
        }
        let request = self.request
        let ticket = UInt64.random(in: .min ... .max)
        let question = PollRequest(
            kind: kind, ticket: ticket, admission: self.admission, basePath: self.base, of: request)
        let reply = Reply(to: self)
        let back = NIOLoopBound(reply, eventLoop: request.state.loop)
        self.pending = Pending(id: id, ticket: ticket, reply: reply, whenWelcome: whenWelcome)
        // The poll waits for messages now, and no longer counts as a handshake.
        if case .receive = kind { request.front.releasePlace() }
        let transit = BatchInTransit(question, memory: request.edge.memory)
        let known = request.edge.onLoop(of: id, cost: question.cost, client: request.client) { state in
            RequestDelivery(state: state).deliver(question, to: id) { answer in
                if back.eventLoop.inEventLoop {
                    back.value.call?.deliver(answer, ticket: ticket)
                } else {
                    back.eventLoop.execute { back.value.call?.deliverInTurn(answer, ticket: ticket) }
                }
            }
            // Counted until here.
            withExtendedLifetime(transit) {}
        }
        if !known { self.answer(.failure(.unknownSession)) }
        // The end may have come in front of the answer to a question about the token, or of the body.
        if request.exchange.isInputClosed { self.inputEnded() }
    }

    private func endQuestion() -> Pending? {
        let pending = self.pending.take()
        pending?.reply.call = nil
        return pending
    }

    // MARK: - the answer

    /// Answers the request, whether or not a question is open.
    func answer(_ answer: HTTPAnswer) {
        let isOfSession = self.endQuestion() != nil
        self.request.respond(answer.allowing(origin: self.admission.allowedOrigin), isOfSession: isOfSession)
    }

    private func reject(_ rejection: Rejection) {
        let isOfSession = self.endQuestion() != nil
        self.request.reject(rejection, isOfSession: isOfSession)
    }

    /// Writes an answer of a session of another loop. That loop has taken a large batch out of the window in a slice;
    /// this one gives it its form in a slice, too. Very many answers may come in the same moment.
    private func deliverInTurn(_ answer: PollAnswer, ticket: UInt64) {
        let slices = self.request.state.slices
        var cost = 1
        if case .batch(let batch, _) = answer { cost = batch.cost }
        if cost > slices.room || !slices.mayServe() {
            let reply = self.pending?.reply
            slices.enqueue(in: .sessions, of: self.request.client) { reply?.call?.deliver(answer, ticket: ticket) }
        } else {
            slices.notePassed(cost)
            self.deliver(answer, ticket: ticket)
        }
    }

    private func deliver(_ answer: PollAnswer, ticket: UInt64) {
        guard let pending = self.pending, pending.ticket == ticket else { return }
        switch answer {
        case .empty where pending.whenWelcome != nil:
            _ = self.endQuestion()
            pending.whenWelcome?()
        case .empty:
            self.answer(HTTPAnswer(status: .noContent))
        case .batch(let batch, let hold):
            self.answer(batch, hold)
        case .problem(let failure):
            self.answer(.failure(failure))
        case .unauthorized(let fault):
            var rejection = Gate.unauthorized(fault)
            rejection.allowedOrigin = self.admission.allowedOrigin
            self.reject(rejection)
        case .rejected(let rejection):
            self.reject(rejection)
        case .refreshed(let expires):
            let body = expires.map { "{\"expires\":\($0)}\n" } ?? "{}\n"
            self.answer(
                HTTPAnswer(
                    status: .ok, headers: ["Content-Type": "application/json"], body: ByteBuffer(string: body)))
        case .joined:
            // Only lanes join.
            self.answer(.problem(500, "internal", "This should not have happened."))
        }
    }

    private func answer(_ batch: PollBatch, _ hold: AnswerHold?) {
        var answer = HTTPAnswer(batch, in: PollCodec(acceptedBy: self.request.head.headers))
        let back = NIOLoopBound(self.request.exchange, eventLoop: self.request.state.loop)
        let isWanted = hold?.begin(bytes: answer.length) { [weak hold] in
            let hold = hold
            // An answer that is being written, and is not wanted any more, ends but with its connection.
            back.eventLoop.execute { if hold?.isUnderWay == true { back.value.abort() } }
        }
        if isWanted == false { answer = HTTPAnswer(status: .noContent) }
        answer.hold = hold
        if answer.length > AnswerWriter.piece { answer.client = self.request.client }
        self.answer(answer)
    }
}

import CulvertConfig
import CulvertCore
import CulvertSystem
import NIOCore
import NIOHTTP1

/// Opens a session for a client that comes by requests: a `POST`, whose body may offer subprotocols. ``RequestRouter``
/// begins it; it is the request's task until the body is here. On the request's loop.
final class PolledOpening: RequestTask {
    private let opening: SessionOpening
    private let admission: Admission

    /// Takes a place among the sessions before the body is read. Nil for an opening that is answered already.
    init?(of request: EdgeRequest, base: String, _ admission: Admission) {
        guard let opening = SessionOpening(of: request, path: base, transport: .longPoll, admission) else { return nil }
        self.opening = opening
        self.admission = admission
    }

    func begin() {
        let request = self.opening.request
        request.task = self
        let limit = PollTarget.open(base: self.opening.path).bodyLimit ?? 0
        request.exchange.collectBody(limit: limit, claim: .place) { self.take($0) }
    }

    // MARK: - RequestTask

    func clientLeft() { self.opening.place.release() }

    /// The opening asks for the end when the body is here.
    func inputEnded() {}

    // MARK: - the body

    private func take(_ body: ByteBuffer) {
        let request = self.opening.request
        request.task = nil
        do throws(PollProblem) {
            let resumable = ResumableOpening(opening: self.opening, admission: try self.offering(body))
            resumable.begin { session, headers in
                session.start()
                request.answer(self.answer(resumable, session, headers), self.admission)
            }
        } catch {
            self.opening.place.release()
            request.answer(.badBatch(error), self.admission)
        }
    }

    /// The admission, with the subprotocols that the body offers.
    private func offering(_ body: ByteBuffer) throws(PollProblem) -> Admission {
        let state = self.opening.request.state
        let now = Clock.unixSeconds()
        let asked = try PollOpening.protocols(of: body, readsTokens: self.admission.readsSubprotocols) {
            state.rules.gate.isOwn($0, in: $1, keyring: &state.keyring, now: now)
        }
        guard !asked.isEmpty else { return self.admission }
        var admission = self.admission
        admission.forwardProtocols += asked
        // The subprotocols go upstream as a field, and have the bound of a field that the client sends.
        guard admission.forwardProtocols.count <= Gate.protocolLimit else {
            throw PollProblem(400, "At most \(Gate.protocolLimit) subprotocols may be offered.")
        }
        let names = admission.forwardProtocols.reduce(0) { $0 + $1.utf8.count + 2 }
        guard self.opening.request.head.sectionSize + names <= state.rules.config.limits.header else {
            throw PollProblem(431, "The header section and the subprotocols are too large together.")
        }
        return admission
    }

    /// - Parameter headers: of the upstream's handshake.
    private func answer(_ resumable: ResumableOpening, _ session: Session, _ headers: HTTPHeaders) -> HTTPAnswer {
        let base = session.basePath
        let location = (base == "/" ? "" : base) + "/" + PollTarget.marker + "/" + session.id.description
        var response = self.opening.response(headers)
        response.replaceOrAdd(name: "Location", value: location)
        response.replaceOrAdd(name: "Content-Type", value: "application/json")
        // These fields describe the upstream's answer, while this one has a body of its own.
        for name in ["Cache-Control", "Content-Encoding", "Content-Range"] { response.remove(name: name) }
        let body = ByteBuffer(string: resumable.description(of: session, headers: headers) + "\n")
        return HTTPAnswer(status: .created, headers: response, body: body)
    }
}

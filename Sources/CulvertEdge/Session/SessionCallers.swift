import CulvertConfig
import CulvertCore

/// Owns the callers of a resumable session: the lane in use, a lane that has joined, and the requests without an
/// answer. Each has the credential that it came with, and so has the answer that is being written.
struct SessionCallers {
    /// A WebSocket of the client. ``SocketLanes`` decides which lane is in use.
    struct Lane {
        let generation: UInt64
        let link: LaneLink
        var caller: Caller
        /// Bytes that the lane holds, as it has reported them last. The lane counts them itself.
        var heldBytes = 0
    }

    struct Request {
        let ticket: UInt64
        var caller: Caller
        let respond: (PollAnswer) -> Void
    }

    enum Place {
        case lane(UInt64)
        case parked(UInt64)
        case answer
    }

    private var lanes: [Lane] = []
    /// By ticket. A client may have thousands: requests that are answered behind a batch which is being passed on.
    private var requests: [UInt64: Request] = [:]
    /// The ticket of the parked poll; nil when no poll is parked.
    private(set) var parked: UInt64?

    // MARK: - lanes

    mutating func add(_ lane: Lane) { self.lanes.append(lane) }

    /// Forgets the lane.
    mutating func removeLane(_ generation: UInt64) { self.lanes.removeAll { $0.generation == generation } }

    mutating func lane(_ generation: UInt64, holds bytes: Int) {
        for index in self.lanes.indices where self.lanes[index].generation == generation {
            self.lanes[index].heldBytes = bytes
        }
    }

    func lane(_ generation: UInt64?) -> Lane? { self.lanes.first { $0.generation == generation } }

    /// Bytes of text that the callers of lanes keep.
    var heldBytes: Int { self.lanes.reduce(0) { $0 + $1.caller.heldBytes } }

    // MARK: - requests

    mutating func add(_ request: Request) { self.requests[request.ticket] = request }

    mutating func park(_ ticket: UInt64) -> Caller? {
        self.parked = ticket
        return self.parkedCaller
    }

    /// Removes a request that is about to be answered, or whose connection is gone.
    mutating func take(_ ticket: UInt64) -> Request? {
        if self.parked == ticket { self.parked = nil }
        return self.requests.removeValue(forKey: ticket)
    }

    private var parkedCaller: Caller? {
        self.parked.flatMap { self.requests[$0]?.caller }
    }

    // MARK: - credentials

    /// - Parameter answer: the answer that is being written; nil if there is none.
    private func places(_ answer: AnswerHold?) -> [(place: Place, caller: Caller)] {
        var all = self.lanes.reversed().map { (place: Place.lane($0.generation), caller: $0.caller) }
        if let parked = self.parked, let caller = self.parkedCaller { all.append((.parked(parked), caller)) }
        if let caller = answer?.caller { all.append((.answer, caller)) }
        return all
    }

    func all(_ answer: AnswerHold?) -> [Caller] { self.places(answer).map(\.caller) }

    /// The callers that may not go on, with their faults: the lane that has joined first, then the lane in use.
    func faults(_ answer: AnswerHold?, _ judge: (Caller) -> CallerFault?) -> [(place: Place, fault: CallerFault)] {
        self.places(answer).compactMap { place, caller in judge(caller).map { (place, $0) } }
    }

    /// The session has replaced its credential `old`. Marks the callers that have the same credential.
    mutating func succeed(_ old: Credential) {
        func isOfOld(_ caller: Caller) -> Bool { caller.credential.map(old.isSame) ?? false }
        for index in self.lanes.indices where isOfOld(self.lanes[index].caller) {
            self.lanes[index].caller.isSucceeded = true
        }
        for index in self.requests.indices where isOfOld(self.requests.values[index].caller) {
            self.requests.values[index].caller.isSucceeded = true
        }
    }
}

extension PollAnswer {
    /// - Parameter hold: makes the hold that counts an answer with messages.
    init(_ answer: ResumableAnswer, hold: (PollBatch) -> AnswerHold) {
        switch answer {
        case .empty: self = .empty
        case .messages(let batch): self = .batch(batch, hold(batch))
        case .taken(let ack, let next): self = .batch(PollBatch(ack: ack, first: next))
        case .gone(let frame): self = .problem(.gone(frame))
        case .gap(let expected): self = .problem(.gap(expected: expected))
        case .ackBeyond(let last): self = .problem(.ackBeyond(last: last))
        case .busy: self = .problem(.busy)
        case .rateLimited(let wait, let owner): self = .problem(.rateLimited(wait, who: owner.rawValue))
        case .tooManyParked: self = .problem(.tooManyParked)
        }
    }
}

extension CallerFault {
    /// Whether the routes, and not the token, keep the caller from going on. If the session closes, an answer to such a
    /// caller is still written.
    var isOfGate: Bool { if case .gate = self { true } else { false } }

    /// The Close for the lane of such a caller.
    func frame(_ config: ProxyConfig) -> CloseFrame {
        switch self {
        case .token(let fault): CloseFrame(code: config.authentication.closeCode, reason: fault.reason)
        case .gate: CloseFrame(code: config.reload.closeCode, reason: "configuration changed")
        }
    }
}

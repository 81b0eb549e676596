import NIOCore

@testable import CulvertCore

/// A resumable session with a client, lanes, requests and an upstream that are played: every step is drawn at random, and
/// what the session does is held against the promises of docs/protocol.md.
///
/// Each message carries its own number, so that a message that is lost, doubled or moved shows at once.
struct ResumableModel {
    static let buffer = 200
    static let bye = CloseFrame(code: CloseCode(rawValue: 4000), reason: "bye")
    private static let messages = (0...200).map {
        PollMessage(opcode: .binary, payload: ByteBuffer(integer: UInt64($0)))
    }

    struct Lane {
        /// The last message that the session has sent on the lane; nil before the first.
        var sent: UInt64?
        var mayWrite = true
        var hasClose = false
    }

    var random: PollRandom
    var now = NIODeadline.uptimeNanoseconds(1_000_000_000)
    var life: SessionLife
    var client: ResumableClient
    /// What broke a promise first.
    private(set) var fault: String?
    /// The steps so far, when they are wanted.
    var trace: [String]?

    // The client's side.
    /// The last message of the client that it has made, and the last that the edge has acknowledged.
    var made: UInt64 = 0
    var acknowledged: UInt64 = 0
    /// The last message of the upstream that the client has taken.
    var taken: UInt64 = 0
    var close: CloseFrame?
    var lanes: [UInt64: Lane] = [:]
    var waiting: Set<UInt64> = []
    private var nextTicket: UInt64 = 1
    /// The client may be told less than all: its token died, memory is short, or the process ends.
    var isCheated = false
    /// The client has said Close, and may not wait for more.
    var hasSaidClose = false

    // The upstream's side.
    var sent: UInt64 = 0
    var arrived: UInt64 = 0
    var upstreamClose: CloseFrame?
    var isUpstreamWritable = true
    var isUpstreamGone = false

    var later: [ResumableAction.Work] = []
    var ends = 0
    var burials = 0
    var hasRate = false

    init(seed: UInt64) {
        self.random = PollRandom(seed: seed)
        self.life = SessionLife(period: .seconds(25), limitsClient: true, limitsUpstream: false, now: self.now)
        self.client = ResumableClient(settings: Self.settings(Self.buffer), now: self.now)
        self.hasRate = self.random.chance(10)
    }

    static func settings(_ buffer: Int) -> SessionSettings {
        SessionSettings(hold: .seconds(25), resume: .seconds(60), ping: .seconds(25), buffer: buffer, maxBatch: buffer)
    }

    mutating func blame(_ text: String) { if self.fault == nil { self.fault = text } }

    var moment: ClientMoment {
        mutating get {
            let rate = SessionRateLimit(messages: 50, messageBurst: 5, bytes: nil, byteBurst: 0, excess: .pause)
            return ClientMoment(
                now: self.now, room: Int.random(in: 1...6, using: &self.random),
                isUpstreamWritable: self.isUpstreamWritable, tokenWait: nil, rate: self.hasRate ? rate : nil,
                closeTime: .seconds(10))
        }
    }

    // MARK: - the driver

    mutating func tell(
        _ verb: (inout ResumableClient, inout SessionLife, ClientMoment) -> [ResumableAction]
    ) {
        let moment = self.moment
        for action in verb(&self.client, &self.life, moment) { self.act(action) }
    }

    /// What the driver does behind the verbs of an event.
    mutating func settle() {
        self.tell { $0.deliver($1, $2) }
        self.tell { $0.bury($1, $2) }
        let traffic = self.client.traffic
        // A message may be appended to a window that is not full yet, and a smaller buffer may come with a reload.
        if traffic.stream.unacknowledgedBytes > Self.buffer + 24 { self.blame("the window is over its bound") }
        if traffic.forwarding.heldBytes > 2 * 4096 { self.blame("too many batches wait for the upstream") }
        if self.lanes.count > 2 { self.blame("a session has \(self.lanes.count) lanes") }
        if self.life.hasEnded, self.ends != 1 { self.blame("an end that is told \(self.ends) times") }
    }

    private mutating func act(_ action: ResumableAction) {
        switch action {
        case .answer(let ticket, let answer):
            if self.waiting.remove(ticket) == nil { self.blame("a second answer to request \(ticket)") }
            self.hear(answer)
        case .park(let ticket):
            if !self.waiting.contains(ticket) { self.blame("a request is parked that has its answer") }
            if self.random.chance(5) { self.tell { client, _, moment in client.refuseToPark(ticket, moment) } }
        case .send(let batch, let generation): self.hear(batch, on: generation)
        case .closeLane(let generation, _):
            if self.lanes.removeValue(forKey: generation) == nil { self.blame("a lane is closed that is none") }
        case .pass(let messages):
            for message in messages {
                self.arrived += 1
                if Self.number(message) != self.arrived { self.blame("the upstream gets \(Self.number(message))") }
            }
            if self.upstreamClose != nil || self.isUpstreamGone { self.blame("a message behind the upstream's Close") }
        case .sayUpstream(let frame):
            if self.upstreamClose != nil { self.blame("a second Close for the upstream") }
            self.upstreamClose = frame
        case .closeUpstream: self.isUpstreamGone = true
        case .later(let work): self.later.append(work)
        case .end: self.ends += 1
        case .bury: self.burials += 1
        case .cutAnswer, .readLane, .useLane, .charge, .began: break
        }
    }

    private static func number(_ message: PollMessage) -> UInt64 {
        message.payload.getInteger(at: message.payload.readerIndex) ?? 0
    }

    // MARK: - the client's ears

    private mutating func hear(_ answer: ResumableAnswer) {
        switch answer {
        case .messages(let batch):
            self.check(batch)
            // The answer may be lost on its way.
            if !self.random.chance(25) { self.take(batch) }
        case .taken(let ack, _):
            if ack > self.made { self.blame("the edge acknowledges \(ack) of \(self.made)") }
            if !self.random.chance(25) { self.acknowledged = max(self.acknowledged, ack) }
        case .gap(let expected):
            if expected != self.client.traffic.stream.received + 1 { self.blame("a gap that is none") }
        case .ackBeyond: self.blame("an ack that is refused")
        case .empty, .gone, .busy, .rateLimited, .tooManyParked: break
        }
    }

    private mutating func hear(_ batch: PollBatch, on generation: UInt64) {
        guard var lane = self.lanes[generation] else {
            self.blame("a batch for a lane that is none")
            return
        }
        if lane.hasClose { self.blame("a batch behind a Close") }
        if batch.first > 0 { self.check(batch) }
        if !batch.messages.isEmpty {
            // What the client has acknowledged meanwhile, in a request, is not sent.
            let next = max(lane.sent ?? 0, self.client.traffic.stream.acknowledged) + 1
            if batch.first != next { self.blame("a lane is sent \(batch.first) in place of \(next)") }
            lane.sent = batch.first + UInt64(batch.messages.count) - 1
        }
        lane.hasClose = batch.close != nil
        self.lanes[generation] = lane
        self.take(batch)
    }

    private mutating func check(_ batch: PollBatch) {
        for (index, message) in batch.messages.enumerated()
        where Self.number(message) != batch.first + UInt64(index) {
            self.blame("message \(batch.first + UInt64(index)) is \(Self.number(message))")
        }
        let bytes = batch.messages.count * (8 + PollMessage.overhead)
        if batch.messages.count > 1, bytes > Self.buffer { self.blame("a batch of \(bytes) bytes") }
        if batch.ack != self.client.traffic.stream.received { self.blame("a batch acknowledges \(batch.ack)") }
    }

    private mutating func take(_ batch: PollBatch) {
        self.acknowledged = max(self.acknowledged, batch.ack)
        let last = batch.first + UInt64(batch.messages.count) - (batch.first > 0 ? 1 : 0)
        if batch.first > 0, batch.first <= self.taken + 1, last > self.taken { self.taken = last }
        guard let close = batch.close else { return }
        // `first` is 0 where the rest is not the client's any more.
        if batch.first > 0, last < self.taken { self.blame("a Close in front of a message") }
        if batch.first == 0 || last == self.taken { self.close = close }
    }

    /// The number that the client acknowledges: the Close counts as one message behind the last.
    var ack: UInt64 {
        let isLast = self.close != nil && self.taken == self.client.traffic.stream.nextSequence - 1 && !self.isCheated
        return self.taken + (isLast ? 1 : 0)
    }

    mutating func ticket() -> UInt64 {
        defer { self.nextTicket += 1 }
        self.waiting.insert(self.nextTicket)
        return self.nextTicket
    }

    /// Messages of the client from `first` on, as many as it likes.
    mutating func batch() -> PollBatch {
        if self.made < 60, self.random.chance(60) { self.made += UInt64.random(in: 1...5, using: &self.random) }
        let first =
            self.random.chance(5) ? self.made + 1 : UInt64.random(in: 1...(self.acknowledged + 1), using: &self.random)
        let end = min(self.made, first + UInt64.random(in: 0...7, using: &self.random))
        let messages = first <= end ? (first...end).map { Self.messages[Int($0)] } : []
        return PollBatch(ack: self.ack, first: first, messages: messages)
    }

    mutating func upstreamSends() {
        let stream = self.client.traffic.stream
        guard !self.isUpstreamGone, !stream.isSendWindowFull, self.sent < 150, stream.finalFrame == nil,
            self.life.closing.mayReceive(from: .server)
        else { return }
        self.sent += 1
        _ = self.client.traffic.message(Self.messages[Int(self.sent)])
    }
}

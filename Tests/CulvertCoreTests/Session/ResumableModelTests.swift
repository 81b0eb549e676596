import Foundation
import NIOCore
import Testing

@testable import CulvertCore

extension ResumableModel {
    enum Step: CaseIterable {
        case upstreamSends, poll, post, leave, endInput, offer, weigh
        case open, envelope, envelopes, laneRoom, laneLost, work, time, room
        case rare
    }

    /// What happens to few sessions, or once to a session.
    enum Rare: CaseIterable {
        case reload, longTime, clientCloses, clientClosesOnLane, clientClosesBehindBatch, upstreamCloses, upstreamLost
        case violation, drain, tokenDies, memory, operation, callerDies, cut
    }

    private static let steps = Step.allCases
    private static let rarities = Rare.allCases

    mutating func step() {
        guard let step = Self.steps.randomElement(using: &self.random) else { return }
        if step == .rare {
            if self.random.chance(30), let rare = Self.rarities.randomElement(using: &self.random) { self.happen(rare) }
        } else {
            self.happen(step)
        }
        self.settle()
    }

    private mutating func happen(_ step: Step) {
        self.trace?.append("\(step)")
        switch step {
        case .upstreamSends: for _ in 0..<Int.random(in: 1...4, using: &self.random) { self.upstreamSends() }
        case .poll:
            let (ticket, ack) = (self.ticket(), self.random.chance(10) ? 0 : self.ack)
            self.tell { $0.poll(ticket: ticket, ack: ack, $1, $2) }
        case .post:
            let (ticket, batch) = (self.ticket(), self.batch())
            self.tell { $0.post(batch, ticket: ticket, &$1, $2) }
        case .offer:
            let ticket = self.ticket()
            self.tell { $0.offer(ticket: ticket, &$1, $2) }
        case .weigh:
            let (ticket, batch) = (self.ticket(), self.batch())
            let outline = BatchOutline(ack: batch.ack, first: batch.first, count: 0, hasClose: false)
            self.tell { $0.weigh(outline, ticket: ticket, &$1, $2) }
        case .leave:
            guard let ticket = self.client.traffic.parked else { return }
            self.waiting.remove(ticket)
            self.tell { client, _, moment in
                _ = client.leave(ticket, moment)
                return []
            }
        case .endInput:
            guard let ticket = self.client.traffic.parked else { return }
            self.tell { client, _, moment in client.endInput(ticket, moment) }
        case .open: self.join()
        case .envelope: self.envelope(count: 1)
        case .envelopes: self.envelope(count: 3)
        case .laneRoom:
            guard let generation = self.lanes.keys.min() else { return }
            let isWritable = self.random.chance(60)
            self.tell { client, _, moment in
                client.lanes.lane(generation, isWritable: isWritable, &client.traffic, moment)
            }
        case .laneLost:
            guard let generation = self.lanes.keys.max(), self.random.chance(50) else { return }
            self.lanes[generation] = nil
            self.tell { $0.lanes.laneLost(generation, &$0.traffic, &$1, $2) }
        case .work: self.work()
        case .time: self.pass(.milliseconds(Int64.random(in: 0...2000, using: &self.random)))
        case .room: self.isUpstreamWritable = self.random.chance(70)
        case .rare: break
        }
    }

    private mutating func happen(_ rare: Rare) {
        self.trace?.append("\(rare)")
        switch rare {
        case .reload:
            let settings = Self.settings(self.random.chance(50) ? Self.buffer : Self.buffer / 2)
            self.tell { client, _, _ in
                client.adopt(settings)
                return []
            }
        case .longTime: self.pass(.seconds(Int64.random(in: 1...70, using: &self.random)))
        case .clientCloses:
            let ticket = self.ticket()
            self.tell { $0.close(Self.bye, ticket: ticket, &$1, $2) }
        case .clientClosesOnLane:
            guard let generation = self.lanes.keys.max() else { return }
            self.hasSaidClose = true
            var batch = self.batch()
            batch.close = Self.bye
            self.bring([batch], on: generation)
        case .clientClosesBehindBatch:
            let ticket = self.ticket()
            var batch = self.batch()
            batch.close = Self.bye
            self.tell { $0.post(batch, ticket: ticket, &$1, $2) }
        case .upstreamCloses: self.end(.close(from: .server, Self.bye))
        case .upstreamLost:
            self.isUpstreamGone = true
            self.end(.lost(.server))
        case .violation: self.end(.violation(by: .server, Self.bye))
        case .operation: self.end(.expelled(Self.bye, upstream: CloseFrame(code: .goingAway)))
        case .drain: self.tell { $0.traffic.shutdown(Self.bye, &$1, $2) }
        case .tokenDies:
            self.isCheated = true
            self.life.tokens.die()
            self.tell { client, life, moment in
                let (actions, tickets) = client.traffic.expel(Self.bye, &life, moment)
                return actions + tickets.map { .answer($0, .gone(Self.bye)) }
            }
            self.end(.expelled(Self.bye, upstream: CloseFrame(code: .goingAway)))
        case .memory:
            self.isCheated = true
            self.tell { $0.traffic.forfeit(Self.bye, &$1, $2) }
            self.end(.expelled(Self.bye, upstream: CloseFrame(code: .goingAway)))
        case .callerDies:
            guard let generation = self.lanes.keys.min() else { return }
            self.tell { $0.lanes.closeLane(generation, Self.bye, &$0.traffic, &$1, $2) }
        case .cut:
            guard self.random.chance(20) else { return }
            self.isCheated = true
            self.isUpstreamGone = true
            self.tell { $0.traffic.cut(&$1, $2) }
        }
    }

    mutating func end(_ event: CloseNegotiation.Event) {
        if case .close(from: .server, _) = event, self.isUpstreamGone { return }
        self.tell { $0.traffic.close(event, &$1, $2) }
    }

    private mutating func join() {
        guard self.lanes.count < 2 || self.random.chance(20) else { return }
        let moment = self.moment
        guard
            case .joined(let generation, let actions) = self.client.lanes.join(&self.client.traffic, self.life, moment)
        else { return }
        self.tell { _, _, _ in actions }
        self.lanes[generation] = Lane()
    }

    private mutating func envelope(count: Int) {
        guard let generation = self.lanes.keys.randomElement(using: &self.random) else { return }
        // A lane is ordered: what the client sends on it has no gap.
        let batches = (0..<count).map { _ in
            var batch = self.batch()
            let last = self.acknowledged + 1
            if batch.first > last { batch = PollBatch(ack: self.ack, first: last) }
            return batch
        }
        self.bring(batches, on: generation)
    }

    private mutating func bring(_ batches: [PollBatch], on generation: UInt64) {
        self.tell { client, _, moment in client.lanes.envelopes(batches, from: generation, &client.traffic, moment) }
        self.takeEnvelopes()
    }

    private mutating func takeEnvelopes() {
        var room = 10
        while room > 0 {
            var cost: Int?
            self.tell {
                guard let (taken, actions) = $0.lanes.takeNext(&$0.traffic, &$1, $2) else { return [] }
                cost = taken
                return actions
            }
            guard let cost else { break }
            room -= cost
        }
        let hasRoom = room > 0
        self.tell { $0.lanes.tookEnvelopes(hasRoom: hasRoom, &$0.traffic, $1, $2) }
    }

    /// Does what waits for a later turn of the loop.
    mutating func work() {
        guard !self.later.isEmpty else { return }
        switch self.later.removeFirst() {
        case .forward: self.tell { $0.traffic.forwardMore(&$1, $2) }
        case .take: self.client.lanes.takeMore(&self.client.traffic)
        case .deliver: self.client.lanes.deliverMore(&self.client.traffic)
        }
        let moment = self.moment
        if self.client.lanes.readOn(self.client.traffic, self.life, moment) == .take { self.takeEnvelopes() }
    }

    mutating func pass(_ time: TimeAmount) {
        self.now = self.now + time
        _ = self.life.limits.takePauses(now: self.now)
        let hasQueued = self.client.traffic.forwarding.hasClose
        if self.life.timePassed(hasQueuedClose: hasQueued, time: .seconds(10), now: self.now) == .cut {
            self.isUpstreamGone = true
            self.tell { $0.traffic.cut(&$1, $2) }
        }
        self.tell { $0.timePassed(&$1, $2) }
    }

    // MARK: - the end

    /// A well-behaved client fetches what there is; then nothing is left.
    mutating func finish() {
        self.isUpstreamWritable = true
        let wasClosed = self.client.traffic.isClosed || self.hasSaidClose || self.isCheated
        if self.life.isOpen { self.end(.close(from: .server, Self.bye)) }
        for _ in 0..<400 where !self.later.isEmpty { self.settleWork() }
        if !self.later.isEmpty { self.blame("work without end") }
        for _ in 0..<60 where !self.client.traffic.isBuried && !wasClosed && self.fault == nil {
            self.trace?.append("fetch")
            let (ticket, ack) = (self.ticket(), self.ack)
            self.tell { $0.poll(ticket: ticket, ack: ack, $1, $2) }
            self.settle()
        }
        // The upstream answers no Close any more, and the client is gone.
        for _ in 0..<8 {
            self.pass(.seconds(61))
            self.settle()
        }
        if self.ends != 1 { self.blame("a session that ended \(self.ends) times") }
        if self.burials != 1 { self.blame("a session that was buried \(self.burials) times") }
        if !self.waiting.isEmpty { self.blame("requests without an answer: \(self.waiting.sorted())") }
        if !self.lanes.isEmpty { self.blame("lanes are left") }
        if !wasClosed, self.taken != self.sent || self.close == nil {
            self.blame("the client has \(self.taken) of \(self.sent), and the Close \(self.close as Any)")
        }
        if self.arrived > self.made { self.blame("the upstream has messages that were not made") }
    }

    private mutating func settleWork() {
        self.pass(.milliseconds(100))
        self.work()
        self.settle()
    }

    /// - Returns: what broke a promise; nil if all were kept.
    static func run(seed: UInt64, steps: Int, isTraced: Bool = false) -> ResumableModel {
        var model = ResumableModel(seed: seed)
        if isTraced { model.trace = [] }
        if model.random.chance(30) {
            let generation = model.client.lanes.open(&model.client.traffic)
            model.lanes[generation] = Lane()
        }
        for _ in 0..<steps where model.fault == nil { model.step() }
        if model.fault == nil { model.finish() }
        return model
    }
}

@Suite("A resumable session in random order")
struct ResumableModelTests {
    /// Sessions in a run. A debug build is too slow for all of them.
    private static let count: UInt64 = _isDebugAssertConfiguration() ? 5_000 : 100_000

    /// Chosen anew for each run, unless `MODEL_SEED` has it.
    private static let seed: UInt64 =
        ProcessInfo.processInfo.environment["MODEL_SEED"].flatMap { UInt64($0) } ?? .random(in: 0...0xFFFF_FFFF)

    @Test("Whatever happens, each message arrives once and in order, a session ends once, and every bound is kept")
    func promises() async {
        print("ResumableModelTests: MODEL_SEED=\(Self.seed)")
        let faulty = await withTaskGroup(of: UInt64?.self) { group in
            for part in 0..<UInt64(4) {
                group.addTask {
                    stride(from: part, to: Self.count, by: 4).first { index in
                        let seed = Self.seed &+ index
                        return ResumableModel.run(seed: seed, steps: 15 + Int(seed % 40)).fault != nil
                    }
                }
            }
            return await group.reduce(nil) { $0 ?? $1 }
        }
        guard let faulty else { return }
        let seed = Self.seed &+ faulty
        let model = ResumableModel.run(seed: seed, steps: 15 + Int(seed % 40), isTraced: true)
        Issue.record("\(model.fault ?? ""), with MODEL_SEED=\(seed): \(model.trace ?? [])")
    }
}

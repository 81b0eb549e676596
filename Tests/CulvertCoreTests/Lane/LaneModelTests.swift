import Foundation
import NIOCore
import Testing

@testable import CulvertCore

extension LaneModel {
    enum Step: CaseIterable {
        case ask, bring, join, take, take2, later, later2, time, tick, pauseEnds, room, written, rare
    }

    /// What happens to few lanes, or once to a lane.
    enum Rare: CaseIterable {
        case final, finalWritten, sessionCloses, clientCloses, noEnvelope, inputEnds, goAway, memory, lost, longTime
    }

    private static let steps = Step.allCases
    private static let rarities = Rare.allCases

    mutating func step() {
        guard let step = Self.steps.randomElement(using: &self.random) else { return }
        if step == .rare {
            if self.random.chance(40), let rare = Self.rarities.randomElement(using: &self.random) { self.happen(rare) }
        } else {
            self.happen(step)
        }
        self.check()
    }

    private mutating func happen(_ step: Step) {
        self.trace?.append("\(step)")
        switch step {
        case .ask: if !self.isGone { self.ask() }
        case .bring: self.bring((0..<Int.random(in: 0...6, using: &self.random)).map { _ in self.item() })
        case .join: self.join()
        case .take, .take2: if self.sessionHas { self.sessionTakes() }
        case .later, .later2: self.laterTurn()
        case .time: self.pass(.milliseconds(Int64.random(in: 0...2000, using: &self.random)))
        case .tick:
            let isRead = self.isKnown && !self.sessionHas && self.later == 0 && !self.isPaused
            if self.life.tick() == .lost {
                if !isRead { self.blame("a client is lost that was not read") }
                self.cut()
            }
        case .pauseEnds: if self.isPaused { self.endPause() }
        case .room: self.isWritable = self.random.chance(80)
        case .written: if self.closesWhenWritten, self.random.chance(50) { self.cut() }
        case .rare: break
        }
    }

    private mutating func happen(_ rare: Rare) {
        self.trace?.append("\(rare)")
        switch rare {
        case .final: if self.random.chance(50) { self.sayFinal() }
        case .finalWritten: self.finalWritten()
        case .sessionCloses: self.close(Self.bye, by: .edge)
        case .clientCloses: self.bring([self.item(), .close])
        case .noEnvelope: self.bring([self.item(), .noEnvelope])
        case .inputEnds:
            guard !self.isGone, !self.isInputClosed else { return }
            self.isInputClosed = true
            self.perform(self.life.inputClosed(time: Self.time, now: self.now))
        case .goAway: self.perform(self.life.goAway(now: self.now))
        case .memory:
            guard let relief = self.life.relief else { return }
            self.perform(relief)
        case .lost: self.cut()
        case .longTime: self.pass(.seconds(Int64.random(in: 2...12, using: &self.random)))
        }
    }

    private mutating func item() -> Item {
        if self.random.chance(20) { return .control }
        if self.random.chance(20) { return .part }
        self.made += 1
        return .envelope(self.made)
    }

    /// A read of the channel brings something, if it was asked to read.
    private mutating func bring(_ items: [Item]) {
        guard self.reads > 0, !self.isGone, !self.isInputClosed else {
            for case .envelope in items { self.made -= 1 }
            return
        }
        self.reads -= 1
        self.life.keepalive.hear()
        if self.life.isClosing {
            if self.life.hearsClose, items.contains(.close) { self.cut() }
        } else {
            self.inbox += items
            self.take(room: Int.random(in: 1...4, using: &self.random))
        }
        if !self.isGone { self.ask() }
    }

    static func run(seed: UInt64, steps: Int, isTraced: Bool = false) -> LaneModel {
        var model = LaneModel(seed: seed)
        if isTraced { model.trace = [] }
        for _ in 0..<steps where model.fault == nil { model.step() }
        if model.fault == nil { model.finish() }
        return model
    }
}

@Suite("A lane in random order")
struct LaneModelTests {
    /// Lanes in a run.
    private static let count: UInt64 = _isDebugAssertConfiguration() ? 20_000 : 200_000

    /// Chosen anew for each run, unless `MODEL_SEED` has it.
    private static let seed: UInt64 =
        ProcessInfo.processInfo.environment["MODEL_SEED"].flatMap { UInt64($0) } ?? .random(in: 0...0xFFFF_FFFF)

    @Test("Whatever happens, each envelope is told once and in order, a lane is lost once, and none stays for ever")
    func promises() {
        print("LaneModelTests: MODEL_SEED=\(Self.seed)")
        let faulty = (0..<Self.count).lazy.map { Self.seed &+ $0 }.first {
            LaneModel.run(seed: $0, steps: 10 + Int($0 % 50)).fault != nil
        }
        guard let faulty else { return }
        let model = LaneModel.run(seed: faulty, steps: 10 + Int(faulty % 50), isTraced: true)
        Issue.record("\(model.fault ?? ""), with MODEL_SEED=\(faulty): \(model.trace ?? [])")
    }
}

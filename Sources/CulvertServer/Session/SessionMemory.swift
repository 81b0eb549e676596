import CulvertCore
import Logging
import NIOCore
import Synchronization

/// Bytes that the sessions of all loops hold, and those that were closed for them.
final class SessionMemory: Sendable {
    private let bytes = Atomic<Int>(0)
    private let victims = Atomic<Int>(0)
    private let isRelieving = Atomic<Bool>(false)

    /// - Returns: the sum.
    func add(_ change: Int) -> Int { self.bytes.wrappingAdd(change, ordering: .relaxed).newValue }

    var used: Int { self.bytes.load(ordering: .relaxed) }

    var closed: Int { self.victims.load(ordering: .relaxed) }

    func countClosed() { self.victims.wrappingAdd(1, ordering: .relaxed) }

    /// - Returns: false when somebody is at it already.
    func beginRelief() -> Bool { !self.isRelieving.exchange(true, ordering: .acquiringAndReleasing) }

    func endRelief() { self.isRelieving.store(false, ordering: .releasing) }
}

/// As `/v1/memory` shows it.
package struct MemoryInfo: Sendable, Equatable {
    package var used: Int
    /// Nil for none.
    package var ceiling: Int?
    /// Sessions closed since the start.
    package var closed: Int

    package init(used: Int, ceiling: Int?, closed: Int) {
        self.used = used
        self.ceiling = ceiling
        self.closed = closed
    }
}

extension EdgeContext {
    /// Most that a loop names at a time: looking for them is a walk over all its sessions.
    private static let slice = 16

    var memoryInfo: MemoryInfo {
        MemoryInfo(used: self.memory.used, ceiling: self.rules.config.limits.memory, closed: self.memory.closed)
    }

    /// Closes the sessions that hold most, whatever their loops, until what is left is below the ceiling. One task at
    /// a time does it; who calls meanwhile is served by that one.
    func relieveMemory() {
        guard self.memory.beginRelief() else { return }
        Task {
            while self.isOverCeiling {
                // Nobody to be closed: what is too much is about to be let go.
                if await !self.relieveOnce() { try? await Task.sleep(for: .milliseconds(50)) }
            }
            self.memory.endRelief()
            // Between the last look and the end somebody may have come in vain.
            if self.isOverCeiling { self.relieveMemory() }
        }
    }

    private var isOverCeiling: Bool {
        self.rules.config.limits.memory.map { self.memory.used > $0 } ?? false
    }

    /// - Returns: whether anybody was closed.
    private func relieveOnce() async -> Bool {
        var holders: [(loop: NIOLoopBound<LoopState>, id: SessionID, bytes: Int)] = []
        for loop in self.loops {
            let found = try? await loop.eventLoop.submit { loop.value.largestHolders(Self.slice) }.get()
            holders += (found ?? []).map { (loop, $0.id, $0.bytes) }
        }
        holders.sort { $0.bytes > $1.bytes }
        var freed = 0
        // Behind the first few of each loop there may be larger ones than what is left here.
        for holder in holders.prefix(Self.slice) where self.isOverCeiling {
            guard let ceiling = self.rules.config.limits.memory else { break }
            let used = self.memory.used
            let bytes = try? await holder.loop.eventLoop.submit { holder.loop.value.session(holder.id)?.relieve() ?? 0 }
                .get()
            guard let bytes, bytes > 0 else { continue }
            freed += bytes
            self.memory.countClosed()
            self.logger.warning(
                "memory relief",
                metadata: [
                    "id": "\(holder.id.description.prefix(12))", "bytes": .stringConvertible(bytes),
                    "used": .stringConvertible(used), "ceiling": .stringConvertible(ceiling),
                ])
        }
        return freed > 0
    }
}

extension LoopState {
    /// The sessions that hold most, the largest first.
    func largestHolders(_ count: Int) -> [(id: SessionID, bytes: Int)] {
        let holders = self.sessions.values.filter { $0.held > 0 }.map { (id: $0.id, bytes: $0.held) }
        return Array(holders.sorted { $0.bytes > $1.bytes }.prefix(count))
    }
}

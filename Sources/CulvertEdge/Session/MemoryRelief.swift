import CulvertConfig
import CulvertCore
import Logging
import NIOCore

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
    /// Most sessions that a loop names, and that are closed, at a time.
    private static let slice = 256
    /// An answer that is not written after this time has a client that does not read it.
    private static let stuckTime = TimeAmount.seconds(1)

    var memoryInfo: MemoryInfo {
        MemoryInfo(used: self.memory.used, ceiling: self.rules.config.limits.memory, closed: self.memory.closed)
    }

    /// Closes the sessions that hold most, whatever their loops, until what is left is below the ceiling. One task at
    /// a time does it; who calls meanwhile is served by that one.
    func relieveMemory() {
        guard self.memory.beginRelief() else { return }
        Task {
            while self.isOverCeiling {
                // No session can be closed now: the excess belongs to sessions that are closing. More may come meanwhile.
                if await !self.relieveOnce() {
                    self.readOn()
                    try? await Task.sleep(for: .milliseconds(self.memory.leaving > 0 ? 10 : 50))
                }
            }
            self.memory.endRelief()
            // Behind the end: a session that is held back from now on has another relief begin.
            self.readOn()
            // Between the last look and the end somebody may have come in vain.
            if self.isOverCeiling { self.relieveMemory() }
        }
    }

    /// Has the sessions read on that grew while memory was short. They are held back until the relief has looked, and
    /// not until memory is free: connections may be what holds it.
    private func readOn() {
        for loop in self.loops { loop.eventLoop.execute { loop.value.relief.readOn() } }
    }

    private var isOverCeiling: Bool {
        self.rules.config.limits.memory.map { self.memory.used > $0 } ?? false
    }

    /// Answers that clients do not read go first: that ends no session.
    ///
    /// - Returns: whether there were any.
    private func cutStuckAnswers() async -> Bool {
        let freed = await self.onLoops { $0.relief.answers.cut(before: .now() - Self.stuckTime) }.reduce(0, +)
        guard freed > 0 else { return false }
        self.logger.warning("unread answers cut for memory", metadata: ["bytes": .stringConvertible(freed)])
        // Their connections close on loops of their own.
        try? await Task.sleep(for: .milliseconds(10))
        return true
    }

    /// Has connections give back requests and answers before any session is closed, whoever filled the memory.
    /// Otherwise clients without a token would have the sessions of others closed.
    ///
    /// - Returns: whether they held anything.
    private func relieveConnections() async -> Bool {
        guard let ceiling = self.rules.config.limits.memory else { return false }
        var count = 0
        var freed = 0
        let used = self.memory.used
        for loop in self.loops {
            let excess = self.memory.excess(over: ceiling)
            guard excess > 0 else { break }
            let relief = loop.eventLoop.submit { loop.value.connections.relieve(excess) }
            guard let found = try? await relief.get() else { continue }
            count += found.connections
            freed += found.bytes
        }
        guard freed > 0 else { return false }
        self.logger.warning(
            "requests and unread answers let go for memory",
            metadata: [
                "connections": .stringConvertible(count), "bytes": .stringConvertible(freed),
                "used": .stringConvertible(used), "ceiling": .stringConvertible(ceiling),
            ])
        // A connection that is cut may still wait for its turn to close.
        try? await Task.sleep(for: .milliseconds(10))
        return true
    }

    /// - Returns: whether anything was let go of, or anybody closed.
    private func relieveOnce() async -> Bool {
        guard let ceiling = self.rules.config.limits.memory, self.memory.excess(over: ceiling) > 0 else { return false }
        if await self.cutStuckAnswers() { return true }
        if await self.relieveConnections() { return true }
        // Connections may have filled the memory again meanwhile: they give back before any session does.
        guard self.memory.excessOfSessions(over: ceiling) > 0 else { return false }
        return await self.relieveSessions(ceiling)
    }

    /// Closes the largest sessions of all loops, in one turn of each loop, until nothing is too much. The next call
    /// goes on where there are more than ``slice``.
    ///
    /// - Returns: whether anybody was closed.
    private func relieveSessions(_ ceiling: Int) async -> Bool {
        let chosen = await self.largestSessions(of: self.memory.excessOfSessions(over: ceiling))
        let memory = self.memory
        var reliefs: [EventLoopFuture<[ReliefOfSession]>] = []
        for (loop, keys) in zip(self.loops, chosen) where !keys.isEmpty {
            reliefs.append(loop.eventLoop.submit { loop.value.relief.close(keys, memory, ceiling: ceiling) })
        }
        var count = 0
        for relief in reliefs {
            for closed in (try? await relief.get()) ?? [] {
                count += 1
                self.memory.countClosed()
                self.logger.warning(
                    "memory relief",
                    metadata: [
                        "id": "\(closed.id.description.prefix(12))", "bytes": .stringConvertible(closed.bytes),
                        "used": .stringConvertible(closed.used), "ceiling": .stringConvertible(ceiling),
                    ])
            }
        }
        return count > 0
    }

    /// The sessions that hold most, as many as hold `excess` bytes together, and no more than ``slice``.
    ///
    /// - Returns: keys in ``SessionTable/all``, for each loop.
    private func largestSessions(of excess: Int) async -> [[ObjectIdentifier]] {
        // A session that knows too little of its lanes would stay, and a smaller one would go in its place.
        _ = await self.onLoops { $0.connections.tellHeldByLanes() }
        var holders: [(loop: Int, holder: HolderIndex.Holder)] = []
        for found in await self.onLoops({ ($0.index, $0.relief.holders.largest(Self.slice)) }) {
            holders += found.1.map { (loop: Int(found.0), holder: $0) }
        }
        holders.sort { $0.holder.bytes > $1.holder.bytes }
        var chosen = [[ObjectIdentifier]](repeating: [], count: self.loops.count)
        var left = excess
        // Behind the first few of each loop there may be larger ones than what is left here.
        for (loop, holder) in holders.prefix(Self.slice) where left > 0 {
            chosen[loop].append(holder.key)
            left -= holder.bytes
        }
        return chosen
    }
}

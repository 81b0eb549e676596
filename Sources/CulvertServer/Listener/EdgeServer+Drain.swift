import CulvertCore
import Logging
import NIOCore
import Synchronization

/// How far the server is on its way out.
package struct DrainProgress: Sendable, Equatable {
    package enum Phase: String, Sendable {
        case none
        /// New sessions are still taken, but `/readyz` fails.
        case delay
        /// Sessions are being closed.
        case closing
        /// The last connections.
        case stopping
    }

    package var phase = Phase.none
    package var plan: DrainPlan?
    /// Sessions that there were when closing began.
    package var total = 0
    /// Unix seconds.
    package var startedAt: Int64?
}

extension EdgeServer {
    /// As the configuration in effect has it.
    package var drainPlan: DrainPlan { self.edge.rules.config.drain }

    /// Returns when every event loop has had a turn.
    package func visitLoops() async {
        await self.onLoops(until: .distantFuture) { $0.loop.makeSucceededVoidFuture() }
    }

    package var drainProgress: DrainProgress { self.progress.withLock(\.self) }

    /// Whether this is the first to ask.
    private func begin(_ plan: DrainPlan) -> Bool {
        self.progress.withLock { progress in
            guard progress.phase == .none else { return false }
            progress.phase = .delay
            progress.plan = plan
            progress.startedAt = Clock.unixSeconds()
            return true
        }
    }

    /// Sends everybody away as `plan` says; returns when the last is gone, or at the deadline.
    ///
    /// - Parameter handedOver: another process accepts at the listeners; called when we do no longer.
    package func drain(_ plan: DrainPlan, handedOver: (@Sendable () -> Void)? = nil) async {
        guard self.begin(plan) else { return }
        self.edge.enter(.unready)
        self.certificates.stop()
        self.edge.logger.info(
            "draining",
            metadata: [
                "sessions": .stringConvertible(self.openSessions), "delay": "\(ConfigUnits.text(plan.delay))",
                "spread": "\(ConfigUnits.text(plan.spread))", "deadline": "\(ConfigUnits.text(plan.deadline))",
            ])
        let reporter = Task { await self.report() }
        defer { reporter.cancel() }
        if let handedOver {
            await self.handOver(plan, handedOver)
        } else if plan.delay > .zero {
            await Self.sleep(plan.delay)
        }
        self.edge.enter(.draining)
        self.edge.rules.stop()
        self.progress.withLock {
            $0.phase = .closing
            $0.total = self.openSessions
        }
        let deadline = NIODeadline.now() + plan.deadline
        let frame = CloseFrame(code: plan.code, reason: "server going away")
        if plan.spread > .zero {
            // Who polls comes back for the last time, maybe on a new connection.
            await self.onLoops(until: deadline) { $0.drain(frame, spread: plan.spread) }
            await self.onLoops(until: min(deadline, .now() + .seconds(1))) { $0.whenDelivered() }
        }
        self.edge.enter(.stopping)
        self.progress.withLock { $0.phase = .stopping }
        for listener in self.listeners.withLock(\.self) { await listener.close() }
        await self.onLoops(until: deadline) { state in
            if plan.spread == .zero { _ = state.drain(frame, spread: .zero) }
            return state.stop()
        }
        await self.onLoops(until: .distantFuture) { state in
            state.cut()
            return state.loop.makeSucceededVoidFuture()
        }
    }

    /// The listeners are another's. What was accepted here is served here: nobody is refused for our going.
    private func handOver(_ plan: DrainPlan, _ done: @Sendable () -> Void) async {
        self.edge.handOver()
        for listener in self.listeners.withLock(\.self) { await listener.close() }
        self.listeners.withLock { $0 = [] }
        done()
        // Their next request may be the other process's, which does not know them.
        let frame = CloseFrame(code: plan.code, reason: "server going away")
        await self.closePolled(frame)
        let end = NIODeadline.now() + self.edge.rules.config.limits.handshake
        while .now() < end, await self.hasFreshConnections { await Self.sleep(.milliseconds(20)) }
        await self.closePolled(frame)
    }

    private func closePolled(_ frame: CloseFrame) async {
        await self.onLoops(until: .distantFuture) { $0.closePolled(frame) }
    }

    /// Connections that have not had an answer yet.
    private var hasFreshConnections: Bool {
        get async {
            for state in self.edge.loops {
                let fresh = try? await state.eventLoop.submit {
                    state.value.connections.values.contains(where: \.isFresh)
                }.get()
                if fresh == true { return true }
            }
            return false
        }
    }

    /// On every loop at once; returns when all are done, or at `deadline`.
    private func onLoops(
        until deadline: NIODeadline, _ body: @escaping @Sendable (LoopState) -> EventLoopFuture<Void>
    ) async {
        let loop = self.edge.loops[0].eventLoop
        let all = EventLoopFuture.andAllComplete(
            self.edge.loops.map { state in state.eventLoop.flatSubmit { body(state.value) } }, on: loop)
        let first = loop.makePromise(of: Void.self)
        all.whenComplete { _ in first.succeed() }
        let timer = deadline == .distantFuture ? nil : loop.scheduleTask(deadline: deadline) { first.succeed() }
        try? await first.futureResult.get()
        timer?.cancel()
    }

    private func report() async {
        while (try? await Task.sleep(for: .seconds(5))) != nil {
            let progress = self.drainProgress
            self.edge.logger.info(
                "draining",
                metadata: [
                    "phase": "\(progress.phase.rawValue)", "sessions": .stringConvertible(self.openSessions),
                    "of": .stringConvertible(max(progress.total, self.openSessions)),
                ])
        }
    }

    private static func sleep(_ time: TimeAmount) async {
        try? await Task.sleep(for: .nanoseconds(time.nanoseconds))
    }
}

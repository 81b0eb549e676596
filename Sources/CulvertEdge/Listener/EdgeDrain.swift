package import CulvertConfig
import CulvertCore
import CulvertSystem
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

    package var phase: Phase
    package var plan: DrainPlan?
    /// Sessions that there were when closing began.
    package var total = 0
    /// Those of them that had not ended. A polled session that has ended stays until its client has fetched the rest.
    package var unended = 0
    /// Unix seconds.
    package var startedAt: Int64?

    package init(phase: Phase = .none, plan: DrainPlan? = nil, startedAt: Int64? = nil) {
        self.phase = phase
        self.plan = plan
        self.startedAt = startedAt
    }
}

/// Takes the edge out of service, once. The ``EdgeServer`` owns it.
final class EdgeDrain: Sendable {
    private let edge: EdgeContext
    private let listeners: OpenListeners
    private let certificates: CertificateWatch
    private let state = Mutex(DrainProgress())

    init(edge: EdgeContext, listeners: OpenListeners, certificates: CertificateWatch) {
        self.edge = edge
        self.listeners = listeners
        self.certificates = certificates
    }

    var progress: DrainProgress { self.state.withLock(\.self) }

    /// Whether this is the first to ask.
    private func begin(_ plan: DrainPlan) -> Bool {
        self.state.withLock { progress in
            guard progress.phase == .none else { return false }
            progress.phase = .delay
            progress.plan = plan
            progress.startedAt = Clock.unixSeconds()
            return true
        }
    }

    /// See ``EdgeServer/drain(_:handedOver:)``.
    func run(_ asked: DrainPlan, handedOver: (@Sendable () -> Void)?) async {
        // The delay is for balancers, and clients come to the other process already.
        let plan = handedOver == nil ? asked : asked.withoutDelay
        guard self.begin(plan) else { return }
        self.edge.enter(.unready)
        self.certificates.stop()
        let sessions = await self.unended
        self.edge.logger.info(
            "draining",
            metadata: [
                "sessions": .stringConvertible(sessions), "delay": "\(ConfigUnits.text(plan.delay))",
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
        let unended = await self.unended
        self.state.withLock {
            $0.phase = .closing
            $0.total = self.edge.openSessions
            $0.unended = unended
        }
        let deadline = NIODeadline.now() + plan.deadline
        let frame = CloseFrame(code: plan.code, reason: "server going away")
        if plan.spread == .zero { await self.listeners.close() }
        await self.edge.onLoops(until: deadline) { $0.drain.begin(frame, spread: plan.spread, under: $0.rules) }
        // A client that polls comes back for its Close, with a spread perhaps on a new connection.
        await self.edge.onLoops(until: min(deadline, .now() + .seconds(1))) { $0.ends.whenDelivered() }
        self.edge.enter(.stopping)
        self.state.withLock { $0.phase = .stopping }
        await self.listeners.close()
        await self.edge.onLoops(until: deadline) { $0.drain.stop() }
        await self.edge.onLoops(until: .distantFuture) { state in
            state.drain.cut()
            return state.loop.makeSucceededVoidFuture()
        }
    }

    /// Drains after another process has taken the listeners. This process still serves the connections that it has
    /// accepted, so no client is refused.
    private func handOver(_ plan: DrainPlan, _ done: @Sendable () -> Void) async {
        self.edge.handOver()
        await self.listeners.close()
        done()
        // Their next request may be the other process's, which does not know them.
        let frame = CloseFrame(code: plan.code, reason: "server going away")
        await self.closePolled(frame, within: plan.deadline)
        let end = NIODeadline.now() + self.edge.rules.config.limits.handshake
        while .now() < end, await self.hasFreshConnections { await Self.sleep(.milliseconds(20)) }
        await self.closePolled(frame, within: plan.deadline)
    }

    private func closePolled(_ frame: CloseFrame, within time: TimeAmount) async {
        await self.edge.onLoops(until: .now() + time) { $0.drain.closePolled(frame) }
    }

    /// Connections that have not had an answer yet.
    private var hasFreshConnections: Bool {
        get async {
            for state in self.edge.loops {
                let fresh = try? await state.eventLoop.submit {
                    state.value.connections.http.values.contains(where: \.course.isFresh)
                }.get()
                if fresh == true { return true }
            }
            return false
        }
    }

    private func report() async {
        while (try? await Task.sleep(for: .seconds(5))) != nil {
            let progress = self.progress
            let unended = await self.unended
            self.edge.logger.info(
                "draining",
                metadata: [
                    "phase": "\(progress.phase.rawValue)", "sessions": .stringConvertible(unended),
                    "of": .stringConvertible(max(progress.unended, unended)),
                ])
        }
    }

    /// Sessions that have not ended yet.
    private var unended: Int {
        get async { await self.edge.onLoops { $0.sessions.unended + $0.ends.starting }.reduce(0, +) }
    }

    private static func sleep(_ time: TimeAmount) async {
        try? await Task.sleep(for: .nanoseconds(time.nanoseconds))
    }
}

extension DrainPlan {
    fileprivate var withoutDelay: DrainPlan {
        var plan = self
        plan.delay = .zero
        return plan
    }
}

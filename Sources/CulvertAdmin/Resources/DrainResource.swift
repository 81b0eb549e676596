import CulvertConfig
import CulvertCore
import CulvertEdge
import CulvertSystem
import NIOCore
import NIOHTTP1

/// `/v1/drain`: shows how far the process is on its way out, and has it begin.
struct DrainResource: Sendable {
    /// Tells how far it is, and the plan of the configuration.
    let edge: EdgeServer
    /// Has the server stopped as the plan says; false when it stops already.
    let stop: @Sendable (DrainPlan) -> Bool
    let audit: AuditLog

    func answer(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        try request.allow([.GET, .HEAD, .POST])
        _ = try request.parameters([])
        guard request.head.method == .POST else {
            return HTTPAnswer(.ok, json: self.text(self.edge.drainProgress))
        }
        let plan = try self.plan(request)
        guard self.edge.drainProgress.phase == .none else { throw Self.drainsAlready }
        // Noted first, as every change: what cannot be written down is not done.
        try await self.audit.note(
            "server.drain", "all",
            detail: "spread \(ConfigUnits.text(plan.spread)), deadline \(ConfigUnits.text(plan.deadline))",
            by: request.caller)
        guard self.stop(plan) else { throw Self.drainsAlready }
        // It may not have begun yet.
        let begun = DrainProgress(phase: .delay, plan: plan, startedAt: Clock.unixSeconds())
        return HTTPAnswer(.accepted, json: self.text(begun))
    }

    private static let drainsAlready = AdminFailure(409, "draining", "The process drains already.")

    private func plan(_ request: AdminRequest) throws(AdminFailure) -> DrainPlan {
        var members = try request.members(["delay", "spread", "deadline", "code"], isOptional: true)
        var plan = self.edge.drainPlan
        func time(_ name: String) -> TimeAmount? {
            guard let time = members.duration(name) else { return nil }
            if DrainSection.times.contains(time) { return time }
            members.fail(name, "expected at most 24h")
            return nil
        }
        plan.delay = time("delay") ?? plan.delay
        plan.spread = time("spread") ?? plan.spread
        // A spread of its own needs time of its own.
        let least = members.has("spread") ? max(plan.deadline, plan.leastDeadline) : plan.deadline
        plan.deadline = time("deadline") ?? least
        if plan.spread > plan.deadline { members.fail("spread", "longer than the deadline") }
        if let code = members.integer("code") {
            if let number = UInt16(exactly: code), CloseCode.ofOperators.contains(number) {
                plan.code = CloseCode(rawValue: number)
            } else {
                members.fail("code", "expected 1000, 1001, 1008, 1012, 1013 or 3000 to 4999")
            }
        }
        guard members.faults.isEmpty else { throw AdminFailure(faults: members.faults) }
        return plan
    }

    private func text(_ progress: DrainProgress) -> String {
        JSONWriter.object {
            $0.add("phase", progress.phase.rawValue)
            $0.add("sessions", self.edge.openSessions)
            // Until closing begins, sessions are still opened.
            let isClosing = progress.phase == .closing || progress.phase == .stopping
            $0.add("sessions_at_start", isClosing ? progress.total : nil)
            $0.add("started_at", time: progress.startedAt)
            $0.add("delay", progress.plan.map { ConfigUnits.text($0.delay) })
            $0.add("spread", progress.plan.map { ConfigUnits.text($0.spread) })
            $0.add("deadline", progress.plan.map { ConfigUnits.text($0.deadline) })
        }
    }
}

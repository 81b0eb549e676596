import CulvertCore
import Logging
import NIOCore
import NIOHTTP1

/// `/v1/reload`, `/v1/drain` and `/v1/certificates`.
extension AdminAPI {
    func reload(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        try Self.allow(request, [.POST])
        let parameters = try request.parameters(["dry_run"])
        guard let isDryRun = ["true": true, "false": false][parameters["dry_run"] ?? "false"] else {
            throw AdminFailure(400, "bad_parameter", "dry_run is true or false.")
        }
        guard let reloader = self.operations.reloader else {
            throw AdminFailure(409, "conflict", "Not done: there is no configuration file.")
        }
        let report: ReloadReport
        do throws(ReloadFailure) {
            report = try await reloader.reload(isDryRun: isDryRun)
        } catch {
            throw Self.failure(error)
        }
        if !isDryRun {
            let outcome = report.outcome
            do {
                try await self.desk.note(
                    "config.reload", report.changed.joined(separator: " "),
                    detail: "kept \(outcome.kept), closed \(outcome.closed)", by: request.caller)
            } catch {
                // It has happened, whether or not it can be written down; the log has it, too.
                self.operations.edge.logger.error("the database failed", metadata: ["error": "\(error)"])
            }
        }
        return Self.json(.ok, Self.text(report))
    }

    private static func failure(_ failure: ReloadFailure) -> AdminFailure {
        switch failure {
        case .unusable(let why):
            return AdminFailure(409, "config_unusable", "Nothing has changed: \(why).")
        case .invalid(let errors):
            let list = errors.map { error in
                JSONWriter.object {
                    $0.add("file", error.file)
                    $0.add("line", error.line)
                    $0.add("column", error.column)
                    $0.add("key", error.keyPath)
                    $0.add("detail", error.message)
                }
            }
            return AdminFailure(
                422, "config_invalid", "Nothing has changed: \(errors.first?.description ?? "the file is wrong").",
                extra: [("errors", "[" + list.joined(separator: ",") + "]")])
        }
    }

    private static func text(_ report: ReloadReport) -> String {
        JSONWriter.object {
            $0.add("dry_run", raw: "\(report.isDryRun)")
            $0.add("changed", report.changed)
            $0.add("needs_restart", report.needsRestart)
            $0.add("listeners_added", report.outcome.listenersAdded)
            $0.add("listeners_closed", report.outcome.listenersClosed)
            $0.add("sessions_kept", report.outcome.kept)
            $0.add("sessions_closed", report.outcome.closed)
        }
    }

    func certificates(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        try Self.allow(request, [.GET, .HEAD])
        _ = try request.parameters([])
        let items = self.operations.edge.certificates.certificates.map { info in
            JSONWriter.object {
                $0.add("listener", info.listener)
                $0.add("file", info.file)
                $0.add("names", info.names)
                $0.add("not_before", time: info.notBefore)
                $0.add("not_after", time: info.notAfter)
                $0.add("seconds_left", Int(clamping: info.notAfter - Clock.unixSeconds()))
            }
        }
        return Self.json(.ok, JSONWriter.page(items, next: nil))
    }

    // MARK: - drain

    func drain(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        try Self.allow(request, [.GET, .HEAD, .POST])
        _ = try request.parameters([])
        guard request.head.method == .POST else {
            return Self.json(.ok, self.text(self.operations.edge.drainProgress))
        }
        let plan = try self.plan(request)
        guard self.operations.edge.drainProgress.phase == .none else { throw Self.drainsAlready }
        // Noted first, as every change: what cannot be written down is not done.
        try await self.ask { () async throws(DeskError) in
            try await self.desk.note(
                "server.drain", "all",
                detail: "spread \(ConfigUnits.text(plan.spread)), deadline \(ConfigUnits.text(plan.deadline))",
                by: request.caller)
        }
        guard self.operations.stop(plan) else { throw Self.drainsAlready }
        // It may not have begun yet.
        let begun = DrainProgress(phase: .delay, plan: plan, startedAt: Clock.unixSeconds())
        return Self.json(.accepted, self.text(begun))
    }

    private static let drainsAlready = AdminFailure(409, "draining", "It drains already.")

    private func plan(_ request: AdminRequest) throws(AdminFailure) -> DrainPlan {
        var members = try request.members(["delay", "spread", "deadline", "code"], isOptional: true)
        var plan = self.operations.edge.rules.config.drain
        func time(_ name: String) -> TimeAmount? {
            guard let text = members.string(name) else { return nil }
            if let time = ConfigUnits.time(text), DrainPlan.times.contains(time) { return time }
            members.fail(name, "expected a duration of at most 24h, such as 30s or 5m")
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
            $0.add("sessions", self.operations.edge.openSessions)
            $0.add("sessions_at_start", progress.phase == .none ? nil : max(progress.total, 0))
            $0.add("started_at", time: progress.startedAt)
            $0.add("delay", progress.plan.map { ConfigUnits.text($0.delay) })
            $0.add("spread", progress.plan.map { ConfigUnits.text($0.spread) })
            $0.add("deadline", progress.plan.map { ConfigUnits.text($0.deadline) })
        }
    }
}

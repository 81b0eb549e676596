import CulvertConfig
import CulvertEdge
import NIOHTTP1

/// `/v1/reload`: has the configuration file read again and put into effect, or only tried.
struct ReloadResource: Sendable {
    /// Nil where there is no configuration file.
    let reloader: Reloader?
    let audit: AuditLog

    func answer(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        try request.allow([.POST])
        let parameters = try request.parameters(["dry_run"])
        guard let isDryRun = ["true": true, "false": false][parameters["dry_run"] ?? "false"] else {
            throw AdminFailure(400, "bad_parameter", "dry_run is true or false.")
        }
        guard let reloader = self.reloader else {
            throw AdminFailure(409, "conflict", "There is no configuration file to reload.")
        }
        let report: ReloadReport
        do throws(ReloadFailure) {
            report = try await reloader.reload(isDryRun: isDryRun)
        } catch {
            throw Self.failure(error)
        }
        if !isDryRun {
            let outcome = report.outcome
            await self.audit.noteDone(
                "config.reload", report.changed.joined(separator: " "),
                detail: "kept \(outcome.kept), closed \(outcome.closed)", by: request.caller)
        }
        return HTTPAnswer(.ok, json: Self.text(report))
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
}

import CulvertTokens

/// Writes into the audit log what operators do to sessions, upstreams and the process. The desk itself writes what they
/// do to tokens and keys.
struct AuditLog: Sendable {
    let desk: TokenDesk

    /// Fails when the line cannot be written. A caller that notes first then does not act.
    func note(
        _ action: String, _ target: String, detail: String, by caller: AdminCaller
    ) async throws(AdminFailure) {
        try await self.desk.operate { desk async throws(DeskError) in
            try await desk.note(action, target, detail: detail, by: caller)
        }
    }

    /// Notes what has happened, whether or not it can be written down. The log has a failure of the database.
    func noteDone(_ action: String, _ target: String, detail: String, by caller: AdminCaller) async {
        try? await self.desk.note(action, target, detail: detail, by: caller)
    }
}

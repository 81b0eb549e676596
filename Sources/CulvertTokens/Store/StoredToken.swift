package import CulvertCore

/// A token as the database keeps it: all but its secret.
package struct StoredToken: Sendable, Equatable {
    package var token: Token
    /// By generation, the latest last.
    package var secrets: [TokenSecret]
    package var note: String
    /// Unix seconds; nil for what has not happened.
    package var rotatedAt: Int64?
    package var revokedAt: Int64?
    package var revokedReason: String?

    package init(
        token: Token, secrets: [TokenSecret], note: String = "", rotatedAt: Int64? = nil, revokedAt: Int64? = nil,
        revokedReason: String? = nil
    ) {
        self.token = token
        self.secrets = secrets
        self.note = note
        self.rotatedAt = rotatedAt
        self.revokedAt = revokedAt
        self.revokedReason = revokedReason
    }

    /// A database of Culvert 0.3 may have subjects that are none: their tokens open nothing.
    func entry(use: TokenUse) -> TokenEntry {
        TokenEntry(
            token: self.token, secrets: self.secrets,
            isRevoked: self.revokedAt != nil || !Token.isSubject(self.token.subject), use: use)
    }
}

/// Who asked the admin API for something, for the audit log.
package struct AdminCaller: Sendable, Equatable {
    package var name: String
    package var address: String

    package init(name: String, address: String) {
        self.name = name
        self.address = address
    }
}

/// One line of the audit log: who did what to what, when and from where. Holds no secret.
package struct AuditEntry: Sendable, Equatable {
    /// Counts up; 0 before it is written.
    package var id: Int64 = 0
    /// Unix seconds.
    package var at: Int64
    package var caller: AdminCaller
    /// Such as `token.rotate`.
    package var action: String
    package var target: String
    package var detail: String

    package init(id: Int64 = 0, at: Int64, caller: AdminCaller, action: String, target: String, detail: String = "") {
        self.id = id
        self.at = at
        self.caller = caller
        self.action = action
        self.target = target
        self.detail = detail
    }
}

/// A request that may be sent twice but is to be done once.
struct IdempotencyRecord: Sendable, Equatable {
    /// Records older than this are forgotten: seconds.
    static let lifetime: Int64 = 86_400

    var key: String
    /// SHA-256 of the operation and all it was asked with.
    var request: [UInt8]
    var tokenID: String
    var generation: Int
    /// Unix seconds.
    package var at: Int64
}

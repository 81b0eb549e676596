import CulvertCore
import CulvertSystem
import NIOCore

/// The credential and the origin with which the gate let a request of a resumable session in: the request of a lane, of
/// a parked poll, or of an answer that is being written. The session judges its callers again, as it is judged itself,
/// when tokens, the configuration or the clock change.
///
/// A session lives by the newest token that it was shown. Another request may have come with an older token of the same
/// subject, or from another origin.
struct Caller: Sendable {
    let credential: Credential?
    private(set) var host: String?
    private(set) var origins: [String]
    /// The request has no origin of its own, and its route insists on one: that of the session counts.
    let hasSessionsOrigin: Bool
    /// Nil for a request that the route's transports do not matter to.
    let transport: Transport?
    /// The session lived by the same token, and was shown a newer one since. Such a caller stays when its token expires
    /// or is rotated. It goes when the token is revoked.
    var isSucceeded = false
    /// Bytes of text that the caller keeps for itself, beyond what any caller has; set by ``kept(beside:)``.
    private(set) var heldBytes = 0

    init(
        credential: Credential?, host: String?, origins: [String], hasSessionsOrigin: Bool = false,
        transport: Transport?
    ) {
        self.credential = credential
        self.host = host
        self.origins = origins
        self.hasSessionsOrigin = hasSessionsOrigin
        self.transport = transport
    }

    /// The caller with the origin that counts for it, once the session is found that it names.
    func withOrigin(of facts: SessionFacts) -> Caller {
        guard self.hasSessionsOrigin else { return self }
        var caller = self
        caller.origins = facts.origins
        return caller
    }

    /// The caller as a session keeps it: with the session's own strings where they are equal, which is the usual case.
    ///
    /// A lane is kept long after its request's connection has let go of the head. The head of a parked poll counts with
    /// the poll's connection.
    func kept(beside facts: SessionFacts) -> Caller {
        var caller = self
        var bytes = 0
        if let host = self.host, facts.host?.equals(host) ?? false {
            caller.host = facts.host
        } else {
            bytes += self.host?.utf8.count ?? 0
        }
        if self.origins.elementsEqual(facts.origins, by: { $0.equals($1) }) {
            caller.origins = facts.origins
        } else {
            bytes += self.origins.reduce(0) { $0 + $1.utf8.count }
        }
        caller.heldBytes = max(0, bytes - 1024)
        return caller
    }
}

/// Why a caller may not go on.
enum CallerFault: Sendable {
    case token(TokenFault)
    /// The answer that a new request would get.
    case gate(Rejection)
}

/// Why callers are judged again, and so how much of them is looked at.
enum CallerReview {
    /// Time has passed: only the tokens' ends matter.
    case time
    /// Tokens have changed: their routes and origins matter too.
    case tokens
    /// The configuration has changed, and tokens with it: everything matters.
    case rules(haveJWTRulesChanged: Bool)
}

extension EdgeRules {
    /// Why `caller` may not go on with a session at `path`; nil if it may.
    ///
    /// - Parameters:
    ///   - routeName: of the session, which the caller must have as well; nil for any.
    ///   - keyring: the tokens in force.
    func fault(
        of caller: Caller, path: String, routeName: String?, keyring: TokenKeyring, _ review: CallerReview
    ) -> CallerFault? {
        if let credential = caller.credential {
            if case .rules(haveJWTRulesChanged: true) = review, credential.token.source == .jwt {
                // Its claims were looked at under other rules, and are not here any more.
                return .gate(Gate.invalidToken)
            }
            if let fault = keyring.fault(of: credential, now: Clock.unixSeconds(), isOpening: false),
                !Self.outlives(fault, caller, credential)
            {
                return .token(fault)
            }
        }
        if case .time = review { return nil }
        do throws(Rejection) {
            let route = try self.gate.recheck(
                host: caller.host, path: path, origins: caller.origins, transport: caller.transport,
                token: caller.credential.flatMap { keyring.current($0)?.token })
            guard let routeName, routeName != route.name else { return nil }
            return .gate(Rejection(404, "no_session", "There is no such session."))
        } catch {
            if case .tokens = review { return .token(.narrowed) }
            var rejection = error
            // A script of an origin that may not connect here learns nothing.
            let isReadable = error.code != "origin_not_allowed" && !caller.hasSessionsOrigin
            rejection.allowedOrigin = isReadable ? caller.origins.first : nil
            return .gate(rejection)
        }
    }

    private static func outlives(_ fault: TokenFault, _ caller: Caller, _ credential: Credential) -> Bool {
        switch fault {
        case .expired, .rotated: caller.isSucceeded
        // The beginning of a JWT cannot be moved, and the issuer's clock may differ.
        case .notYetValid: credential.token.source == .jwt
        case .unknown, .revoked, .narrowed: false
        }
    }

    /// The gate of another loop let the request in. The loop that has these rules and `keyring` may know of a change
    /// that the other did not.
    func faultOnTheWay(of request: PollRequest, keyring: TokenKeyring) -> CallerFault? {
        let credential = request.caller.credential
        if let credential,
            let fault = keyring.fault(of: credential, now: Clock.unixSeconds(), isOpening: false)
        {
            return .token(fault)
        }
        let hasTokenChanged = credential.map { keyring.current($0) !== $0.entry } ?? false
        guard hasTokenChanged || request.rules !== self else { return nil }
        return self.fault(
            of: request.caller, path: request.basePath, routeName: nil, keyring: keyring,
            .rules(haveJWTRulesChanged: self.haveJWTRulesChanged(since: request.rules)))
    }
}

extension PollAnswer {
    init(_ fault: CallerFault) {
        switch fault {
        case .token(let fault): self = .unauthorized(fault)
        case .gate(let rejection): self = .rejected(rejection)
        }
    }
}

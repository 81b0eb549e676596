import CulvertConfig
import CulvertCore
import CulvertSystem
import NIOCore

/// Tells how long a credential stands, by the tokens and the configuration of a loop. Each call is on that loop.
struct CredentialReview {
    enum Standing {
        /// The credential stands for this time; nil when it does not die by itself.
        case stands(for: TimeAmount?)
        case dead(TokenFault)
    }

    let keyring: TokenKeyring
    let expiryGrace: TimeAmount

    init(_ state: LoopState) {
        self.keyring = state.keyring
        self.expiryGrace = state.rules.config.authentication.expiryGrace
    }

    /// The standing of a credential that a session lives by.
    func standing(of credential: Credential) -> Standing {
        switch self.keyring.standing(of: credential) {
        case .failure(let fault): return .dead(fault)
        case .success where self.isPremature(credential): return .dead(.notYetValid)
        case .success(nil): return .stands(for: nil)
        case .success(let end?):
            let left = self.time(until: end)
            return left > .zero ? .stands(for: left) : .dead(end.fault)
        }
    }

    /// The time until the credential dies by itself; nil if it does not, or is dead already.
    func timeLeft(of credential: Credential) -> TimeAmount? {
        guard case .success(let end?) = self.keyring.standing(of: credential) else { return nil }
        return self.time(until: end)
    }

    /// The time until a caller is looked at again; nil if no look is needed. A caller with the credential `own` of its
    /// session needs none, because the session looks at `own` itself.
    func time(until caller: Caller, beside own: Credential?) -> TimeAmount? {
        guard let credential = caller.credential, !caller.isSucceeded, !(own.map(credential.isSame) ?? false) else {
            return nil
        }
        return self.timeLeft(of: credential).map { max($0, .milliseconds(1)) }
    }

    private func time(until end: TokenKeyring.End) -> TimeAmount {
        Clock.time(until: end.at) + (end.fault == .expired ? self.expiryGrace : .zero)
    }

    /// Whether the token's start was moved into the future. The start of a JWT cannot move, and its issuer's clock may
    /// differ, so this is false for a JWT.
    private func isPremature(_ credential: Credential) -> Bool {
        guard credential.token.source != .jwt, let entry = self.keyring.current(credential),
            let start = entry.token.notBefore
        else { return false }
        return start > Clock.unixSeconds()
    }
}

import CulvertConfig
import CulvertCore
import NIOCore

/// A session and the token it lives by.
extension Session {
    /// How long a peer may take over the close handshake when the session's token has died.
    private static let expulsionTime = TimeAmount.milliseconds(500)

    /// Looks up whether the credential still stands, and until when. Ends the session if it does not.
    final func reviewCredential() {
        guard let credential = self.credential, !self.isEnded, !self.life.tokens.hasDied else { return }
        // Its limits may have changed.
        if let entry = self.state.keyring.current(credential) { self.credential?.entry = entry }
        switch CredentialReview(self.state).standing(of: credential) {
        case .dead(let fault): self.expel(fault)
        case .stands(nil): self.life.tokens.own(endsAt: nil)
        case .stands(let time?):
            self.life.tokens.own(endsAt: self.now + time)
            self.arm()
        }
    }

    /// The token has changed: the session goes on if it could be opened with it now, as after a reload.
    final func reviewEntitlement() {
        self.reviewCredential()
        if self.isOpen, let credential = self.credential, credential.token.source != .jwt,
            self.state.rules.route(of: self, keyring: self.state.keyring, haveJWTRulesChanged: false) == nil
        {
            self.expel(.narrowed)
        }
        self.reviewCallers(.tokens)
    }

    final func lookAtTokens(now: NIODeadline) {
        for due in self.life.tokens.take(now: now) {
            switch due {
            case .own: self.reviewCredential()
            case .callers: self.reviewCallers(.time)
            }
        }
        if self.life.limits.takeTokenPause(now: now) { self.tokenRateIsKept() }
    }

    /// The token has died: from now on nothing passes, in either direction.
    private func expel(_ fault: TokenFault) {
        self.life.tokens.die()
        let frame = CloseFrame(code: self.state.rules.config.authentication.closeCode, reason: fault.reason)
        self.drop(for: fault, frame)
        self.dismiss(frame, upstreamReason: fault.reason)
        self.life.hasten(Self.expulsionTime, now: self.now)
        self.settle()
        self.arm()
    }

    /// Messages a second that the token may send; nil for no limit.
    final var messageRate: Int? { self.credential?.token.limits.messagesPerSecond }
}

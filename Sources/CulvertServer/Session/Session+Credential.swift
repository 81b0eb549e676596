import CulvertCore
import NIOCore

/// A session and the token it lives by.
extension Session {
    /// How long a peer may take over the close handshake when the session's token has died.
    private static let expulsionTime = TimeAmount.milliseconds(500)

    /// Looks up whether the credential still stands, and until when. Ends the session if it does not.
    func reviewCredential() {
        guard let credential = self.credential, !self.isEnded, !self.isExpelled else { return }
        // Its limits may have changed.
        if let entry = self.state.keyring.current(credential) { self.credential?.entry = entry }
        switch self.state.keyring.standing(of: credential) {
        case .failure(let fault):
            self.expel(fault)
        case .success where self.isPremature(credential):
            self.expel(.notYetValid)
        case .success(nil):
            self.credentialDeadline = nil
        case .success(let end?):
            let grace = end.fault == .expired ? self.state.rules.config.authentication.expiryGrace : .zero
            let left = Clock.time(until: end.at) + grace
            guard left > .zero else {
                self.expel(end.fault)
                return
            }
            self.credentialDeadline = .now() + left
            self.arm()
        }
    }

    /// Whether the token's beginning was moved ahead. The beginning of a JWT cannot move, and its issuer's clock may
    /// differ.
    private func isPremature(_ credential: Credential) -> Bool {
        guard credential.token.source != .jwt, let entry = self.state.keyring.current(credential),
            let start = entry.token.notBefore
        else { return false }
        return start > Clock.unixSeconds()
    }

    /// The token has changed: the session goes on if it could be opened with it now, as after a reload.
    func reviewEntitlement() {
        self.reviewOwnEntitlement()
        self.reviewCallers(.tokens)
    }

    private func reviewOwnEntitlement() {
        self.reviewCredential()
        guard self.isOpen, let credential = self.credential, credential.token.source != .jwt,
            self.route(under: self.state.rules, keyring: self.state.keyring, haveJWTRulesChanged: false) == nil
        else { return }
        self.expel(.narrowed)
    }

    func credentialTimerFired(now: NIODeadline) {
        if let deadline = self.credentialDeadline, deadline <= now {
            self.credentialDeadline = nil
            self.reviewCredential()
        }
        if let deadline = self.callerDeadline, deadline <= now { self.reviewCallers(.time) }
        if let deadline = self.rateDeadline, deadline <= now {
            self.rateDeadline = nil
            self.clientLeg?.resume(.rateLimited)
            self.readLane()
        }
    }

    /// The token has died: from now on nothing passes, in either direction.
    private func expel(_ fault: TokenFault) {
        self.isExpelled = true
        self.credentialDeadline = nil
        let code = self.state.rules.config.authentication.closeCode
        if self.isPolled {
            // What was not fetched is not the client's any more; its requests are told why by the gate.
            self.hasClientClosed = true
            self.answer?.cut()
            self.dropForwarding(.unauthorized(fault))
            self.answerParked(.unauthorized(fault))
            self.releaseLanes(CloseFrame(code: code, reason: fault.reason))
        }
        self.dismiss(CloseFrame(code: code, reason: fault.reason), upstreamReason: fault.reason)
        if !self.isEnded {
            self.closingDeadline = min(self.closingDeadline ?? .distantFuture, .now() + Self.expulsionTime)
            self.arm()
        }
        self.buryIfDone()
    }

    /// Ends the session, for the client with `frame`.
    func dismiss(_ frame: CloseFrame, upstreamReason: String) {
        if !self.isExpelled, !self.isRelieved { self.flushForwarding() }
        self.apply(
            self.machine.close(.expelled(frame, upstream: CloseFrame(code: .goingAway, reason: upstreamReason))))
    }

    /// Why a session goes on with the token that it has.
    enum NotAdopted: Error {
        /// The session has a token that is as new or newer, or could not be opened with this one.
        case notNewer
        /// The token has no place for another session.
        case full(AdmissionDenial)
    }

    /// Moves the session to another token of the same subject, if that is newer, would open the session and has a place
    /// for it. The session lives by `credential` afterwards, or did before.
    func adopt(_ credential: Credential?) throws(NotAdopted) {
        guard let credential, let old = self.credential else { return }
        guard credential.isNewer(than: old) else {
            guard credential.token.id.equals(old.token.id), credential.generation == old.generation else {
                throw NotAdopted.notNewer
            }
            return
        }
        guard self.refusal(of: credential) == nil else { throw NotAdopted.notNewer }
        do throws(AdmissionDenial) {
            try self.place.move(to: credential, limits: self.state.rules.config.limits)
        } catch {
            throw NotAdopted.full(error)
        }
        self.credential = credential
        self.succeedCallers(of: old)
        self.reviewCredential()
    }

    /// Why the session could not be opened as it was, from its origin and at its path, with `credential`; nil if it
    /// could.
    func refusal(of credential: Credential?) -> Rejection? {
        do throws(Rejection) {
            _ = try self.state.rules.gate.recheck(
                host: self.facts.host, path: self.basePath, origins: self.facts.origins, transport: nil,
                token: credential?.token)
            return nil
        } catch {
            return error
        }
    }

    /// Seconds after which the credential dies, and the session with it; nil when nothing says that it will.
    var expires: Int64? {
        guard let credential = self.credential, case .success(let end?) = self.state.keyring.standing(of: credential)
        else { return nil }
        let grace = end.fault == .expired ? self.state.rules.config.authentication.expiryGrace : .zero
        return max(0, (Clock.time(until: end.at) + grace).nanoseconds / 1_000_000_000)
    }

    // MARK: - rate

    /// Messages a second that the token may send; nil for no limit.
    var messageRate: Int? { self.credential?.token.limits.messagesPerSecond }

    /// Counts the messages, pings, pongs and empty fragments that a native client has sent, and stops reading while its
    /// token is over its rate. Nothing is dropped: the client's own sending blocks.
    func throttle(_ leg: WebSocketLeg, rate: Int) {
        guard let use = self.credential?.entry.use else { return }
        let seen = leg.scanner.messages &+ leg.controls.charged
        let now = NIODeadline.now()
        use.take(Int(clamping: seen &- self.messagesCounted), rate: rate, now: now)
        self.messagesCounted = seen
        let wait = use.wait(now: now)
        guard wait > .zero, self.rateDeadline == nil else { return }
        leg.pause(.rateLimited)
        self.rateDeadline = now + wait
        self.arm()
    }
}

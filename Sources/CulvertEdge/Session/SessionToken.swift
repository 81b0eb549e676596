import CulvertConfig
import CulvertCore
import NIOCore

/// Replaces the token of a session when its client brings a newer one. Each call is on the session's loop.
struct SessionToken {
    let session: Session

    /// The reason for which a session keeps its token.
    enum NotAdopted: Error {
        /// The session's token is as new or newer, or the new token could not open the session.
        case notNewer
        /// The token has no place for another session.
        case full(AdmissionDenial)
    }

    /// Moves the session to another token of the same subject, if that is newer, would open the session and has a place
    /// for it. If this throws nothing, the session has the token of `credential`.
    func adopt(_ credential: Credential?) throws(NotAdopted) {
        guard let credential, let old = self.session.credential else { return }
        guard credential.isNewer(than: old) else {
            guard credential.token.id.equals(old.token.id), credential.generation == old.generation else {
                throw NotAdopted.notNewer
            }
            return
        }
        guard self.refusal(of: credential) == nil else { throw NotAdopted.notNewer }
        do throws(AdmissionDenial) {
            try self.session.place.move(to: credential, limits: self.session.state.rules.config.limits)
        } catch {
            throw NotAdopted.full(error)
        }
        self.session.credential = credential
        self.session.succeedCallers(of: old)
        self.session.reviewCredential()
    }

    /// The reason for which `credential` could not open the session from its origin and at its path; nil if it could.
    func refusal(of credential: Credential?) -> Rejection? {
        do throws(Rejection) {
            _ = try self.session.state.rules.gate.recheck(
                host: self.session.facts.host, path: self.session.basePath, origins: self.session.facts.origins,
                transport: nil,
                token: credential?.token)
            return nil
        } catch {
            return error
        }
    }

    /// Seconds until the credential dies, and the session with it; nil when the credential does not die by itself.
    var expires: Int64? {
        self.session.credential.flatMap { CredentialReview(self.session.state).timeLeft(of: $0) }
            .map { max(0, $0.nanoseconds / 1_000_000_000) }
    }
}

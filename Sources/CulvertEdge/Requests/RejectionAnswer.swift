import CulvertCore
import NIOCore

/// Answers a request that the gate has rejected.
///
/// It tells why the request's token is no longer valid, if the request names a session of that token. Every other
/// request gets the answer for a token that never existed, so that no other client learns that a token was once valid.
struct RejectionAnswer {
    let request: EdgeRequest
    let target: PollTarget?

    func reject(_ rejection: Rejection) {
        guard rejection.fault != nil else {
            self.request.reject(rejection)
            return
        }
        var concealed = Gate.invalidToken
        concealed.allowedOrigin = rejection.allowedOrigin
        concealed.jwtFault = rejection.jwtFault
        guard let target, let id = target.sessionID.flatMap({ SessionID($0) }) else {
            self.request.reject(concealed)
            return
        }
        let answers = [concealed, rejection]
        let back = NIOLoopBound(self.request, eventLoop: self.request.state.loop)
        let isAsked = self.request.edge.onLoop(of: id) { state in
            let isKnown = state.sessions.knows(
                id, subject: rejection.subject, basePath: target.base, now: state.loop.now)
            back.eventLoop.execute { back.value.reject(answers[isKnown ? 1 : 0]) }
        }
        if !isAsked { self.request.reject(concealed) }
    }
}

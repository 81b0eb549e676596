import CulvertCore
import CulvertSystem

/// The facts of a session's opening.
struct SessionFacts {
    var id: SessionID
    var route: Route
    var clientAddress: String
    var basePath: String
    /// The host of the opening request; likewise `origins`. A reload checks both again.
    var host: String?
    var origins: [String]
    /// The `User-Agent` of the opening request, cleaned and cut.
    var userAgent: String?
    var jwtRules: JWTClaimRules?
    /// The client that opened the session. Work of all sessions of a client shares the client's turns (``LoopSlices``).
    var client: AddressKey { AddressKey(self.clientAddress) }
    /// The time of the opening, in Unix seconds.
    let openedAt = Clock.unixSeconds()
}

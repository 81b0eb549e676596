package import CulvertCore

/// Which sessions are meant: those that match everything that is given.
package struct SessionFilter: Sendable, Equatable {
    package var token: String?
    package var subject: String?
    package var route: String?
    package var transport: Transport?
    /// Of the client, without its port.
    package var address: String?
    package var upstream: String?
    /// URL of the upstream's server.
    package var server: String?

    package init(
        token: String? = nil, subject: String? = nil, route: String? = nil, transport: Transport? = nil,
        address: String? = nil, upstream: String? = nil, server: String? = nil
    ) {
        self.server = server
        self.token = token
        self.subject = subject
        self.route = route
        self.transport = transport
        self.address = address
        self.upstream = upstream
    }

    /// Whether nothing is given, and hence every session matches.
    package var isEmpty: Bool { self == SessionFilter() }
}

/// One live session as the admin API shows it.
package struct SessionInfo: Sendable, Equatable {
    package var id: String
    package var token: String?
    /// Unix seconds at which the token expires; nil for never.
    package var tokenExpires: Int64?
    package var subject: String?
    package var route: String
    package var transport: Transport
    package var address: String
    /// That the session was opened with, without the query; cut when it is long, as are the two that follow.
    package var path: String
    package var origin: String?
    package var userAgent: String?
    package var upstream: String
    /// URL of the upstream's server.
    package var server: String
    /// Unix seconds.
    package var openedAt: Int64
    package var messagesIn: UInt64
    package var messagesOut: UInt64
    package var bytesIn: UInt64
    package var bytesOut: UInt64

    package init(
        id: String, token: String?, tokenExpires: Int64? = nil, subject: String?, route: String, transport: Transport,
        address: String, path: String, origin: String? = nil, userAgent: String? = nil, upstream: String,
        server: String, openedAt: Int64, messagesIn: UInt64 = 0, messagesOut: UInt64 = 0, bytesIn: UInt64 = 0,
        bytesOut: UInt64 = 0
    ) {
        self.path = path
        self.origin = origin
        self.userAgent = userAgent
        self.id = id
        self.token = token
        self.tokenExpires = tokenExpires
        self.subject = subject
        self.route = route
        self.transport = transport
        self.address = address
        self.upstream = upstream
        self.server = server
        self.openedAt = openedAt
        self.messagesIn = messagesIn
        self.messagesOut = messagesOut
        self.bytesIn = bytesIn
        self.bytesOut = bytesOut
    }
}

/// The live sessions of all event loops, for the admin API.
package protocol SessionDirectory: Sendable {
    /// Sessions that match, in an order that stays.
    ///
    /// - Parameters:
    ///   - after: the identifier that the last page ended with.
    ///   - limit: most on a page.
    /// - Returns: the page, and the cursor of the next; nil when this is the last.
    func list(_ filter: SessionFilter, after: SessionID?, limit: Int) async -> (items: [SessionInfo], next: String?)

    /// Nil when there is no such session.
    func info(id: String) async -> SessionInfo?

    /// Whether there was such a session.
    func close(id: String, code: CloseCode, reason: String) async -> Bool

    /// How many were told to close.
    func close(_ filter: SessionFilter, code: CloseCode, reason: String) async -> Int
}

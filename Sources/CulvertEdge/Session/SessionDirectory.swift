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
    /// What entitles the client, of its latest credential; all are nil where the route asks for none.
    package struct Credential: Sendable, Equatable {
        package var token: String?
        /// Unix seconds at which the token expires; nil for never.
        package var tokenExpires: Int64?
        package var subject: String?
    }

    /// The client, and the request that opened the session.
    package struct Client: Sendable, Equatable {
        package var address: String
        /// Without the query; cut when it is long, as are the two that follow.
        package var path: String
        package var origin: String?
        package var userAgent: String?
    }

    /// Where the session leads.
    package struct Destination: Sendable, Equatable {
        package var route: String
        package var upstream: String
        /// URL of the upstream's server.
        package var server: String
    }

    package var id: String
    package var credential: Credential
    package var client: Client
    package var destination: Destination
    package var transport: Transport
    /// Unix seconds.
    package var openedAt: Int64
    package var counts: SessionCounts
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

package import NIOCore

/// How the servers of an upstream are looked after beside what their sessions show.
package struct HealthConfig: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable {
        /// Connects, for `wss` with TLS.
        case tcp
        /// Looks at the status of a GET.
        case http
        /// Opens a WebSocket.
        case webSocket = "websocket"
    }

    package var kind: Kind
    /// Behind the server's own.
    package var path: String
    package var interval: TimeAmount
    /// For one check, from the connection to its end.
    package var timeout: TimeAmount
    package var rise: Int
    package var fall: Int
    /// Whether a WebSocket must answer a ping.
    package var ping: Bool
    /// Nil for any from 200 to 399.
    package var status: Int?
    /// What `Host` says; nil for the server's own name.
    package var host: String?

    package init(
        kind: Kind, path: String = "/", interval: TimeAmount = .seconds(10), timeout: TimeAmount = .seconds(2),
        rise: Int = 2, fall: Int = 3, ping: Bool = false, status: Int? = nil, host: String? = nil
    ) {
        self.kind = kind
        self.path = path
        self.interval = interval
        self.timeout = timeout
        self.rise = rise
        self.fall = fall
        self.ping = ping
        self.status = status
        self.host = host
    }
}

/// Where openings wait when no server has room for them.
package struct QueueConfig: Sendable, Equatable {
    /// Most that wait.
    package var size: Int
    package var timeout: TimeAmount

    package init(size: Int = 100, timeout: TimeAmount = .seconds(2)) {
        self.size = size
        self.timeout = timeout
    }
}

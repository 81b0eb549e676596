import NIOCore
import NIOHTTP1

/// How long the parts of a connection may take, and how much one connection may ask.
struct ConnectionBounds {
    /// From its beginning, TLS included, until the first byte of a request.
    var firstByte: TimeAmount
    /// A header section; the grace of a body; what is discarded behind an answer.
    var head: TimeAmount
    /// Between two requests; until an answer is taken, beside what it takes at ``rate``.
    var idle: TimeAmount
    /// Bytes each second that a body keeps, and the taking of an answer.
    var rate: Int
    /// Requests of one connection.
    var requests: Int

    /// How long so many bytes may take.
    func time(for bytes: Int) -> TimeAmount {
        let (product, overflow) = Int64(bytes).multipliedReportingOverflow(by: 1_000_000_000)
        return .nanoseconds((overflow ? .max : product) / Int64(max(1, self.rate)))
    }
}

/// Takes the exchanges of a connection: the edge's owner, or the admin API's. Called on the connection's event loop.
protocol ConnectionOwner: AnyObject {
    /// The bounds in force; asked for each part of a connection.
    var bounds: ConnectionBounds { get }
    /// Bytes that the process may hold; nil for no ceiling.
    var memoryCeiling: Int? { get }

    /// Whether something bounds the number of connections like this one. Any other may be closed when descriptors are
    /// short, while it waits for its client.
    var isCounted: Bool { get }

    func opened(_ connection: ClientConnection)
    /// The connection is closed, or speaks HTTP no longer.
    func closed(_ connection: ClientConnection)
    /// Something in front of HTTP tells of the connection.
    func received(_ event: Any)
    /// The head of a request is whole.
    func take(_ exchange: Exchange)
    /// The connection refuses a request that the owner has not been asked about.
    ///
    /// - Parameter head: as far as it could be decoded; nil for none.
    func refused(_ answer: HTTPAnswer, _ head: HTTPRequestHead?, on connection: ClientConnection)
    /// Adds what every answer has.
    func complete(_ headers: inout HTTPHeaders)
    /// An answer was taken, and another request may come.
    func answered()
    /// Answers that wait to be taken have brought the process over its ceiling.
    func relieveMemory()
    /// For the log: a client got less than it asked for.
    func note(_ notice: ConnectionNotice)
}

enum ConnectionNotice {
    /// A body, or requests sent ahead, would have brought the process over its ceiling.
    case memoryFull
    /// An answer was not taken in time.
    case unreadAnswer
}

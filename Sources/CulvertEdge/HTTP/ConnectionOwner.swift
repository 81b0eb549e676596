import CulvertCore
import NIOCore
import NIOHTTP1

/// Takes the exchanges of a connection: the edge's owner, or the admin API's. Called on the connection's event loop.
protocol ConnectionOwner: AnyObject {
    /// The bounds in force; asked for each part of a connection.
    var bounds: ConnectionBounds { get }
    /// Bytes that the process may hold; nil for no ceiling.
    var memoryCeiling: Int? { get }

    /// Whether something bounds the number of connections like this one. Any other may be closed when descriptors are
    /// short, while it waits for its client.
    var isCounted: Bool { get }

    /// The line in which requests wait for a slice.
    var line: LoopSlices.Line { get }

    /// The client under whose key the connection's work takes turns with the work of others (``LoopSlices``).
    func client(on channel: (any Channel)?) -> AddressKey

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
    /// A body is refused because the process is near its ceiling of memory.
    func makeRoomInMemory()
    /// For the log: a client got less than it asked for.
    func note(_ notice: ConnectionNotice)
}

enum ConnectionNotice {
    /// A body, or requests sent ahead, would have brought the process over its ceiling.
    case memoryFull
    /// A handshake of TLS has waited for longer than ``TLSFeeder/longWait``.
    case lateHandshake
    /// A handshake of TLS was cut to make room for a newer one.
    case crowdedHandshake
    /// An answer was not taken in time.
    case unreadAnswer
}

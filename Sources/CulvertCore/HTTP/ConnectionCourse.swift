/// The course of a client's HTTP/1.1 connection: the phase that it is in, whether another request may follow, and how
/// much it discards. It knows no bytes and no clock.
///
/// The connection's handler owns it, tells it what happens, on its event loop, and does what it returns.
package struct ConnectionCourse: Equatable, Sendable {
    /// The way in which a refusal reaches the client.
    package enum OnRefusal: Equatable, Sendable {
        /// It is written as the answer.
        case answer
        /// There was an answer already, and the connection lingers.
        case linger
        case nothing
    }

    /// The step that follows once the kernel has the whole answer.
    package enum AfterAnswer: Equatable, Sendable {
        /// The client sends nothing more. The connection is closed.
        case close
        /// The client may send more. The connection lingers.
        case linger
        /// The connection takes the next request.
        case next
        /// The rest of the request is discarded, and then the next follows.
        case discardRest
    }

    /// The effect of the stop of the server on the connection.
    package enum OnStop: Equatable, Sendable {
        case close
        /// The client gets less time to take the answer that is on its way.
        case hurry
        /// The end of the connection is near anyway, or its owner sees to it.
        case nothing
    }

    /// The most bytes that are discarded of a request that has its answer. A longer rest ends the connection.
    package static let mostDrained = 64 * 1024
    /// The most bytes that are discarded of a connection that lingers.
    package static let mostLingered = 16 * 1024 * 1024

    package private(set) var phase = ConnectionPhase.idle
    /// True until the first answer on this connection.
    package private(set) var isFresh = true
    /// No request is read behind this one.
    package private(set) var isLast = false
    /// The client has ended its direction of the connection.
    package private(set) var isInputClosed = false
    /// The number of requests that have begun.
    private var requests = 0
    /// Bytes of the rest of a request, or of a connection that lingers.
    private var discarded = 0

    package init() {}

    // MARK: - a request

    /// Bytes have come.
    ///
    /// - Returns: whether they are the first of a request.
    package mutating func bytesCame() -> Bool {
        guard self.phase == .idle else { return false }
        self.phase = .head
        return true
    }

    /// The bytes that come are of the head of a request.
    package var isInHead: Bool { self.phase == .idle || self.phase == .head }

    /// The head of a request is whole, and goes to the owner.
    ///
    /// - Parameters:
    ///   - isKeepAlive: the client wants to send another.
    ///   - most: the number of requests of a connection.
    package mutating func headCame(isKeepAlive: Bool, most: Int) {
        self.requests += 1
        self.phase = .deciding
        if self.requests >= most || !isKeepAlive { self.isLast = true }
    }

    /// The owner takes the body.
    package mutating func takeBody() { self.phase = .body }

    /// The body is whole, and goes to the owner.
    package mutating func bodyCame() { self.phase = .deciding }

    /// The client sends no more, and may still read.
    package mutating func inputClosed() { self.isInputClosed = true }

    // MARK: - an answer

    /// The owner has the request, and may answer it.
    package var mayAnswer: Bool { self.phase == .deciding || self.phase == .body }

    /// The connection takes no request behind the one in hand.
    package mutating func takeNoMore() { self.isLast = true }

    /// The request in hand, whole or not, is refused, and the connection ends with it.
    package mutating func refuse() -> OnRefusal {
        self.isLast = true
        switch self.phase {
        case .idle, .head, .deciding, .body: return .answer
        case .draining: return .linger
        case .answering, .renewing, .lingering, .upgraded, .closed: return .nothing
        }
    }

    /// An answer is on its way.
    package mutating func answer() {
        self.phase = .answering
        self.isFresh = false
    }

    /// The kernel has the whole answer.
    ///
    /// - Parameters:
    ///   - isWhole: the decoder has seen the end of the request.
    ///   - isClean: it has found no fault, and no bytes wait behind the request.
    package func afterAnswer(isWhole: Bool, isClean: Bool) -> AfterAnswer {
        if self.isLast { return isWhole && isClean ? .close : .linger }
        return isWhole ? .next : .discardRest
    }

    /// The rest of a request that has its answer is discarded.
    package mutating func discardRest() {
        self.phase = .draining
        self.discarded = 0
    }

    /// The decoder takes no further request, and another takes its place.
    package mutating func renewDecoder() { self.phase = .renewing }

    /// The connection waits for the next request.
    package mutating func waitForRequest() { self.phase = .idle }

    // MARK: - the end

    /// - Parameter count: bytes that are discarded, of the rest of a request or of a connection that lingers.
    /// - Returns: whether there were too many.
    package mutating func discard(_ count: Int) -> Bool {
        self.discarded += count
        return self.discarded > (self.phase == .lingering ? Self.mostLingered : Self.mostDrained)
    }

    /// Our direction ends, and what comes is discarded until the client ends its own.
    package mutating func linger() {
        self.phase = .lingering
        self.discarded = 0
    }

    /// Both directions end.
    package mutating func close() { self.phase = .lingering }

    /// The server stops: no further request after the one in hand.
    package mutating func stop() -> OnStop {
        self.isLast = true
        switch self.phase {
        case .idle, .head, .body, .draining, .renewing: return .close
        case .answering: return .hurry
        case .deciding, .lingering, .upgraded, .closed: return .nothing
        }
    }

    /// - Returns: whether the connection was not closed before.
    package mutating func closed() -> Bool {
        guard self.phase != .closed else { return false }
        self.phase = .closed
        return true
    }

    // MARK: - upgrade

    /// Another protocol may take the place of HTTP. Its handler would not notice that the client has ended its direction.
    package var mayUpgrade: Bool { self.phase == .deciding && !self.isInputClosed }

    /// Another protocol takes the place of HTTP.
    package mutating func upgrade() { self.phase = .upgraded }

    /// The connection was gone before the other protocol could take its place.
    package mutating func takeUpgradeBack() { self.phase = .deciding }
}

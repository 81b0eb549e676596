package import NIOCore

/// How long a client's connection waits for its client. The time is an argument of each call.
///
/// The connection's clock owns it, and sets a timer for ``due`` behind each call that may change it.
package struct ConnectionDeadlines: Equatable, Sendable {
    /// The step that the client has to take.
    package enum Step: Equatable, Sendable {
        /// It begins its first request.
        case firstByte
        /// It sends the rest of a head.
        case head
        /// It sends a body: at the rate, with a grace.
        case body
        /// It takes an answer with a body of `length` bytes.
        case answer(length: Int, isLast: Bool)
        /// It sends the rest of a request that has its answer.
        case rest
        /// It begins another request.
        case request
        /// It ends the connection, and takes what it has not taken yet.
        case end

        /// The wait for the client begins with it. A wait that goes on has begun before.
        fileprivate var isNew: Bool {
            switch self {
            case .head, .body, .answer, .request: true
            case .firstByte, .rest, .end: false
            }
        }

        /// How long the step may take.
        fileprivate func time(within bounds: ConnectionBounds) -> TimeAmount {
            switch self {
            case .firstByte: bounds.firstByte
            case .head, .body, .rest, .end: bounds.head
            case .answer(let length, let isLast): (isLast ? bounds.head : bounds.idle) + bounds.time(for: length)
            case .request: bounds.idle
            }
        }
    }

    /// When the connection began to wait for its client, or had a sign last that the client goes on.
    package private(set) var since = NIODeadline.distantPast
    /// The end of the wait; nil while the edge has the next step.
    package private(set) var due: NIODeadline?

    package init() {}

    package mutating func wait(for step: Step, within bounds: ConnectionBounds, now: NIODeadline) {
        if step.isNew { self.since = now }
        self.due = now + step.time(within: bounds)
    }

    /// Content of a body came. It keeps a rate, and may stop for a while: a fixed grace, which no haste makes longer.
    ///
    /// - Parameter count: bytes of content. What frames it earns no time.
    package mutating func contentCame(_ count: Int, within bounds: ConnectionBounds, now: NIODeadline) {
        if count > 0 { self.since = now }
        guard let due = self.due else { return }
        self.due = min(due + bounds.time(for: count), now + bounds.head)
    }

    /// The client goes on with what it does, in the time that it has.
    package mutating func goesOn(now: NIODeadline) { self.since = now }

    /// The client is waited for no more.
    package mutating func stop() { self.due = nil }
}

package import NIOCore

/// An action that a verb of ``ResumableClient`` returns. The session's driver does the actions in their order.
package enum ResumableAction: Equatable, Sendable {
    /// A piece of work that is done in a later turn of the loop.
    package enum Work: Equatable, Sendable {
        /// ``ResumableTraffic/forwardMore(_:_:)``
        case forward
        /// ``ClientLanes/takeMore(_:)``
        case take
        /// ``ClientLanes/deliverMore(_:)``
        case deliver
    }

    /// Answers the request with this ticket. A request is answered once.
    case answer(UInt64, ResumableAnswer)
    /// Parks the request until there are messages. If the limit of parked polls (`limits.http.parked`) is reached, the
    /// driver calls ``ResumableClient/refuseToPark(_:_:)`` instead.
    case park(UInt64)
    /// Cuts the answer that is being written to an earlier `GET`, because the client does not need it any more.
    case cutAnswer

    case send(PollBatch, onLane: UInt64)
    /// Lets the lane bring more envelopes.
    case readLane(UInt64)
    /// Closes the lane with this frame. The session does not use the lane any more.
    case closeLane(UInt64, CloseFrame)
    /// The lane is the lane in use from now on.
    case useLane(UInt64)

    /// Writes messages of the client to the upstream.
    case pass(ArraySlice<PollMessage>)
    case sayUpstream(CloseFrame)
    case closeUpstream(within: TimeAmount)
    /// Charges this number of messages to the client's token. With `holdsLane`, the lane is not read while the token is
    /// over its rate.
    case charge(Int, holdsLane: Bool)

    case later(Work)
    /// The session has begun to close. The driver lifts the pauses that keep it from reading its peers.
    case began
    /// The session has ended: both close handshakes are over.
    case end
    /// Forgets the session, and keeps only the Close with which it ended.
    case bury(CloseFrame)
}

/// The answer to a request of a resumable session.
package enum ResumableAnswer: Equatable, Sendable {
    /// The owner of the rate that a request exceeds.
    package enum RateOwner: String, Sendable {
        case token
        case session
    }

    case empty
    case messages(PollBatch)
    /// The edge has taken messages up to `ack`, and its next message has the number `next`.
    case taken(ack: UInt64, next: UInt64)
    case gone(CloseFrame)
    case gap(expected: UInt64)
    case ackBeyond(last: UInt64)
    case busy
    case rateLimited(TimeAmount, RateOwner)
    case tooManyParked
}

package import NIOCore

/// An action that a verb of ``LaneLife`` returns. The lane's driver does the actions in their order.
package enum LaneAction: Equatable, Sendable {
    /// The way in which the connection ends behind the lane's Close.
    package enum Ending: Equatable, Sendable {
        /// The client answers, or is cut when its time is over.
        case answer
        /// The connection is closed when the Close is written, because the client has said Close.
        case close
        /// Culvert's direction ends: the client learns at once that nothing more comes.
        case endOutput
        /// The connection is closed when the Close is written, because the client has ended its direction.
        case closeBehindOutput
    }

    /// Tells the session that the lane of this generation is lost. The session is told nothing more.
    case lost(UInt64)
    /// Counts the lane among the handshakes, if it does not count there.
    case linger
    /// Counts what the lane holds without the envelope that was read in part.
    case forget
    /// Writes the lane's Close behind all that waits to be written.
    case say(CloseFrame, then: Ending)
    /// Closes the connection when all is written. No close_notify is waited for.
    case closeBehindOutput
    /// Closes the lane with this frame: the driver calls ``LaneLife/close(_:by:hasClose:isWritable:now:)``.
    case close(CloseFrame)
    /// Closes the connection without waiting for anything.
    case cut
    /// Sets the lane's one timer, after which the driver calls ``LaneLife/timePassed(now:)``. Nil cancels it.
    case wake(NIODeadline?)
    /// Calls ``LaneLife/tick()`` once in a period from now on.
    case startKeepalive
    /// Tells the session that the connection has no room.
    case tellFull
    /// Goes on as if the session had said that the lane may bring more.
    case takeMore
    /// Asks the connection for bytes.
    case read
}

/// The memory that a client's connection holds while it speaks HTTP, in bytes, and what becomes of the connection where
/// memory is short. The connection makes it of its parts each time that it counts them.
package struct ConnectionMemory: Equatable, Sendable {
    /// The step of a connection that holds more while the process is at its ceiling.
    package enum AtCeiling: Equatable, Sendable {
        case nothing
        /// Others give back what they hold.
        case relieveOthers
        /// The request in hand is refused.
        case refuse
        case cut
    }

    /// The step of a connection when the relief of memory asks it to give back.
    package enum OnRelief: Equatable, Sendable {
        case nothing
        /// The request in hand is refused.
        case refuse
        case cut
    }

    /// Bytes that are never refused for the process's memory, because a read may bring them.
    package static let alwaysHeld = 16 * 1024

    /// Requests that wait, and the head of the request in hand.
    package var waiting: Int
    /// The body of the request in hand, what its owner holds for it, and its answer.
    package var content: Int
    /// Buffers that TLS and NIO keep until the connection is closed.
    package var buffers: Int

    package init(waiting: Int, content: Int, buffers: Int) {
        self.waiting = waiting
        self.content = content
        self.buffers = buffers
    }

    package var sum: Int { self.waiting + self.content + self.buffers }

    /// Bodies leave an eighth free, because their messages take more than they do.
    ///
    /// - Parameters:
    ///   - ceiling: the bytes that the process may hold.
    ///   - used: the bytes that it holds.
    ///   - isWhole: the request in hand has come to its end.
    package func atCeiling(_ ceiling: Int, used: Int, in phase: ConnectionPhase, isWhole: Bool) -> AtCeiling {
        guard used > ceiling || (phase == .body && used > ceiling / 8 * 7) else { return .nothing }
        // Many connections that hold little each are let go of together.
        guard self.waiting + self.content > Self.alwaysHeld else { return .relieveOthers }
        switch phase {
        case .deciding where !isWhole, .body: return .refuse
        case .answering: return .relieveOthers
        // No session is closed for heads, and for requests that wait in line.
        case .idle, .head, .deciding, .draining, .renewing, .lingering, .upgraded, .closed:
            return self.waiting > Self.alwaysHeld ? .cut : .nothing
        }
    }

    /// A body is refused. Requests that wait, an answer that its client has not taken, and bytes that wait for TLS, end
    /// with the connection.
    ///
    /// - Parameters:
    ///   - held: bytes that were counted last, and those that wait for TLS.
    ///   - buffers: those of them that TLS and NIO keep.
    package static func onRelief(held: Int, buffers: Int, in phase: ConnectionPhase) -> OnRelief {
        switch phase {
        case .upgraded, .closed: return .nothing
        case .body: return .refuse
        case .idle: return .cut
        // Kept buffers alone end no request.
        case .head, .deciding, .answering, .draining, .renewing, .lingering: return held > buffers ? .cut : .nothing
        }
    }
}

/// Messages and bytes of payload of a session, in from the client and out to it.
package struct SessionCounts: Equatable, Sendable {
    package var messagesIn: UInt64 = 0
    package var bytesIn: UInt64 = 0
    package var messagesOut: UInt64 = 0
    package var bytesOut: UInt64 = 0

    package init() {}

    package init(messagesIn: UInt64, bytesIn: UInt64, messagesOut: UInt64, bytesOut: UInt64) {
        self.messagesIn = messagesIn
        self.bytesIn = bytesIn
        self.messagesOut = messagesOut
        self.bytesOut = bytesOut
    }

    /// The sum of the four counts, which grows with everything that passes.
    package var sum: UInt64 { self.messagesIn &+ self.messagesOut &+ self.bytesIn &+ self.bytesOut }
}

import CulvertCore

/// The cost of a batch for a client to its loop: its messages are taken out of the window one by one, and its bytes are
/// copied, encrypted and written.
extension LoopSlices {
    /// Bytes that cost about as much as a message does.
    static let bytesPerMessage = 128

    /// Sockets pass few messages now, and what costs more has its turn in a slice. Never true within a slice.
    var isShort: Bool { self.room < Self.messages }

    /// `bytes` have been written, or will be before the loop looks at its sockets again.
    func notePassed(bytes: Int) { self.notePassed(bytes / Self.bytesPerMessage) }

    /// A batch has been handed out.
    ///
    /// - Parameter bytes: of its binary form.
    /// - Returns: its cost in messages.
    @discardableResult
    func notePassed(_ batch: PollBatch, bytes: Int) -> Int {
        let cost = batch.messages.count + bytes / Self.bytesPerMessage
        self.notePassed(cost)
        return cost
    }
}

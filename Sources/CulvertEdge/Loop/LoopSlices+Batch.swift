import CulvertCore

/// The cost of bytes to their loop. ``PollBatch/cost`` is that of a batch for a client.
extension LoopSlices {
    static let bytesPerMessage = WorkUnits.bytesPerMessage

    /// Sockets pass few messages now, and what costs more has its turn in a slice. Never true within a slice.
    var isShort: Bool { self.room < Self.messages }

    /// `bytes` have been written, or will be before the loop looks at its sockets again.
    func notePassed(bytes: Int) { self.notePassed(bytes / Self.bytesPerMessage) }

    /// The cost of a batch in messages.
    ///
    /// - Parameter bytes: of its payload, or of its binary form where that is known.
    static func cost(of batch: PollBatch, bytes: Int) -> Int { batch.messages.count + bytes / Self.bytesPerMessage }
}

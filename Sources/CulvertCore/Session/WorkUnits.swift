/// The units in which the work of an event loop is measured: in messages, and in bytes that cost as much as a message.
package enum WorkUnits {
    /// The most messages in one piece of work. A frame, an envelope, a line of a head and a chunk each count as a
    /// message, because they cost about as much.
    package static let messages = 2048
    /// The most messages that a connection passes at once while the loop is busy.
    package static let fewMessages = 64
    /// Bytes that cost about as much as a message does.
    package static let bytesPerMessage = 128
}

extension PollBatch {
    /// The cost of handing the batch out, in messages. Its messages are taken out of the window one by one, and its
    /// bytes are copied, encrypted and written.
    package var cost: Int { self.messages.count + self.encodedBytes / WorkUnits.bytesPerMessage }
}

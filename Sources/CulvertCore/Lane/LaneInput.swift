package import NIOCore

/// Owns what a lane's client has sent: the bytes that were not taken apart, the envelope that is read in part, and the
/// pings that wait for their pongs. The lane's driver owns it, and calls it on the lane's loop.
package struct LaneInput: Sendable {
    /// What a lane takes at once.
    package struct Taken: Equatable, Sendable {
        package var batches: [PollBatch] = []
        /// The client has sent a Close, or a message that is not an envelope. Further envelopes are not read.
        package var end: End?
        /// There was no room for the rest.
        package var hasMore = false
        /// Frames and messages that were taken apart.
        package var cost = 0
    }

    package struct End: Equatable, Sendable {
        package var frame: CloseFrame
        /// The frame answers the client's Close.
        package var isAnswer: Bool

        package init(frame: CloseFrame, isAnswer: Bool) {
            self.frame = frame
            self.isAnswer = isAnswer
        }
    }

    /// Between two reports of ``takeParts(now:)``.
    static let partsPause = TimeAmount.milliseconds(100)

    private var assembler: MessageAssembler
    private var envelopes: EnvelopeReader
    /// Searches the bytes that come behind the lane's Close.
    private var closeSearch = CloseSearch()
    /// The bound of the client's pings and pongs, and the latest ping until it is answered.
    private var control = PeerControl()
    /// The bytes of envelopes that were reported last, and when they are reported again.
    private var toldParts: UInt64 = 0
    private var partsDue = NIODeadline.uptimeNanoseconds(0)
    /// The end was taken.
    package private(set) var isDeaf = false

    /// - Parameters:
    ///   - messageLimit: bytes of one message in an envelope.
    ///   - batchLimit: bytes of several messages in an envelope, each with ``PollMessage/overhead``.
    ///   - envelopeLimit: bytes of an envelope.
    ///   - fragmentLimit: fragments of an envelope; nil for no limit.
    package init(messageLimit: Int, batchLimit: Int, envelopeLimit: Int, fragmentLimit: Int?) {
        self.envelopes = EnvelopeReader(messageLimit: messageLimit, batchLimit: batchLimit)
        self.assembler = MessageAssembler(
            sender: .client, messageLimit: envelopeLimit, fragmentLimit: fragmentLimit, keepsPings: true)
    }

    /// Bytes of the buffers of what was not taken apart.
    package var heldCapacity: Int { self.assembler.heldCapacity }

    /// Bytes of memory of the envelope that is read in part.
    package var envelopeBytes: Int { self.envelopes.heldBytes }

    // MARK: - envelopes

    package mutating func append(_ bytes: ByteBuffer) { self.assembler.append(bytes) }

    /// Takes the envelopes that have come whole.
    ///
    /// - Parameter most: frames of the client's, and messages in its envelopes, that are taken apart.
    package mutating func take(_ most: Int) -> Taken {
        var room = most
        var taken = Taken()
        reading: while taken.end == nil {
            switch self.envelopes.next(&self.assembler, room: &room) {
            case .needMore: break reading
            case .noRoom:
                taken.hasMore = true
                break reading
            case .batch(let batch): taken.batches.append(batch)
            case .end(let frame, let isAnswer): taken.end = End(frame: frame, isAnswer: isAnswer)
            }
        }
        taken.cost = most - room
        self.isDeaf = taken.end != nil
        return taken
    }

    /// Drops the envelope that is read in part.
    package mutating func dropEnvelope() { self.envelopes.drop() }

    /// Whether bytes of an envelope have come since this was true last. True once in 100 ms at most, so that the
    /// session is told now and then.
    package mutating func takeParts(now: @autoclosure () -> NIODeadline) -> Bool {
        guard self.assembler.payloadBytes != self.toldParts else { return false }
        let now = now()
        guard self.partsDue <= now else { return false }
        self.toldParts = self.assembler.payloadBytes
        self.partsDue = now + Self.partsPause
        return true
    }

    // MARK: - pings and pongs

    /// Whether pings, pongs or empty fragments were taken apart that ``countControls(now:)`` has not counted.
    package var hasNewControls: Bool { self.control.isNew(self.assembler.controls) }

    /// Keeps the latest ping that was taken apart for ``takePong(isWritable:)``.
    package mutating func keepPing() { if let ping = self.assembler.takePing() { self.control.received(ping: ping) } }

    /// The answer to the latest ping, once. It waits until the connection has room.
    package mutating func takePong(isWritable: Bool) -> ByteBuffer? {
        self.control.takePong(isWritable: isWritable, mask: nil)
    }

    /// Counts the pings, pongs and empty fragments that were taken apart since the last call.
    ///
    /// - Returns: their number, and how long the client is not read; nil while it keeps the bound.
    package mutating func countControls(now: NIODeadline) -> (new: ControlCount, pause: TimeAmount?) {
        let new = self.control.take(self.assembler.controls)
        return (new, self.control.charge(new.frames, now: now))
    }

    /// True once, for the log: a client that stays above the bound has one line.
    package mutating func isFirstExcess() -> Bool { self.control.isFirstExcess() }

    // MARK: - behind the lane's Close

    /// The lane closes, and is read for the client's Close alone. An envelope that is not whole is of no use any more.
    ///
    /// - Returns: whether the client's Close is in what has come.
    package mutating func close() -> Bool {
        defer { self.dropEnvelope() }
        return self.closeSearch.begin(&self.assembler)
    }

    /// Bytes have come behind the lane's Close.
    ///
    /// - Parameter isOfUse: whether they may have a Close that is of use.
    package mutating func search(_ bytes: ByteBuffer, isOfUse: Bool) -> CloseSearch.Result {
        self.closeSearch.take(bytes, &self.assembler, isOfUse: isOfUse)
    }
}

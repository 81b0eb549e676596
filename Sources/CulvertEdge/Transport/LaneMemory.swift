/// Counts the bytes that a lane holds, from the first until the lane is gone, whether or not a session uses the lane.
/// Owned by ``SocketLane``, on its loop.
///
/// A session knows what its lane in use holds, because such a lane is closed with its session.
struct LaneMemory: ~Copyable {
    private static let heldStep = 4 * 1024
    /// The session is told of this much more or less. The relief of memory has it told of the rest, so that a read
    /// costs no hop.
    private static let toldStep = 64 * 1024

    private var hold: MemoryHold
    /// Counts what an envelope holds that is read in part.
    private var envelope: MemoryHold
    /// Bytes that the session was told the lane holds.
    private var told = 0

    init(_ memory: SessionMemory) {
        self.hold = MemoryHold(memory, isRequest: true)
        self.envelope = MemoryHold(memory)
    }

    /// Bytes that the lane has counted, without those of the envelope that is read in part.
    var bytes: Int { self.hold.bytes }

    /// Counts `bytes` in place of what was counted before.
    ///
    /// - Returns: what the process holds, if this made it more; nil if not.
    mutating func set(_ bytes: Int) -> Int? { self.hold.set(bytes / Self.heldStep * Self.heldStep) }

    /// Counts the envelope that is read in part.
    mutating func setEnvelope(_ bytes: Int) { _ = self.envelope.set(bytes) }

    /// A session uses the lane from now on.
    mutating func handToSession() { self.hold.handToSession() }

    mutating func release() { self.hold.release() }

    // MARK: - what the session is told

    /// Whether the session knows a number that is far from what the lane holds.
    var isReportDue: Bool { self.hold.bytes / Self.toldStep != self.told / Self.toldStep }

    /// - Returns: what the session is told now; nil if it knows that.
    mutating func takeReport() -> Int? {
        guard self.hold.bytes != self.told else { return nil }
        self.told = self.hold.bytes
        return self.told
    }
}

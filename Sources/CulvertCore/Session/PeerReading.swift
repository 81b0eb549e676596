package import NIOCore

/// Whether the connection of a session's peer is read, and what is read for nothing. Owned by the handler of the
/// connection, on its event loop, which asks it with each read.
package struct PeerReading: Equatable, Sendable {
    /// Why a peer is not read. Each is a bit.
    package enum Pause: UInt16, CaseIterable, Sendable {
        case notStarted = 0x001
        case peerNotWritable = 0x002
        case windowFull = 0x004
        case rateLimited = 0x008
        case sessionRate = 0x010
        case controlRate = 0x020
        case memoryFull = 0x040
        case turn = 0x080
        /// The rest behind ``dropSlice`` bytes.
        case dropping = 0x100
    }

    /// How much is read for nothing before a rest of ``dropRest``: a peer whose bytes go nowhere is read for its end
    /// alone, and not at full speed.
    package static let dropSlice = 1 << 20
    package static let dropRest = TimeAmount.milliseconds(50)

    /// The reasons that hold, as their bits.
    private var pauses = Pause.notStarted.rawValue
    /// The connection would read, and did not because of a pause.
    private var isReadDue = false
    /// Bytes that were read for nothing since the last rest.
    private var dropped = 0
    /// True once the peer's bytes are no longer used.
    package private(set) var isDeaf = false

    package init() {}

    package var isPaused: Bool { self.pauses != 0 }

    /// A read of the connection is due, whoever has asked for it.
    package mutating func oweRead() { self.isReadDue = true }

    /// The connection would read.
    ///
    /// - Returns: whether it does. If not, it reads when the last pause ends.
    package mutating func mayRead() -> Bool {
        if self.isPaused { self.isReadDue = true }
        return !self.isPaused
    }

    /// - Returns: false if the peer is read for its end alone. Nothing else holds that up.
    package mutating func pause(_ reason: Pause) -> Bool {
        guard !self.isDeaf else { return false }
        self.pauses |= reason.rawValue
        return true
    }

    /// - Returns: whether the connection reads now.
    package mutating func resume(_ reason: Pause) -> Bool {
        guard self.pauses & reason.rawValue != 0 else { return false }
        self.pauses &= ~reason.rawValue
        return self.takeRead()
    }

    /// The connection is to end by itself. The peer's bytes are no longer used, and pauses stay.
    package mutating func stopUsing() { self.isDeaf = true }

    /// The peer's bytes are no longer used. Reading goes on so that its end is seen.
    ///
    /// - Returns: whether the connection reads now.
    package mutating func turnDeaf() -> Bool {
        self.isDeaf = true
        self.pauses &= Pause.dropping.rawValue
        return self.takeRead()
    }

    /// So many bytes of the peer went nowhere.
    ///
    /// - Returns: whether a rest of ``dropRest`` begins. The caller ends it by ``resume(_:)`` with `dropping`.
    package mutating func drop(_ bytes: Int) -> Bool {
        self.dropped += bytes
        guard self.dropped >= Self.dropSlice else { return false }
        self.dropped = 0
        guard self.pauses & Pause.dropping.rawValue == 0 else { return false }
        self.pauses |= Pause.dropping.rawValue
        return true
    }

    private mutating func takeRead() -> Bool {
        guard !self.isPaused, self.isReadDue else { return false }
        self.isReadDue = false
        return true
    }
}

import NIOCore

/// Looks for the Close of a lane's client in the bytes that come behind the lane's own Close, and bounds those bytes.
/// The other bytes are dropped. Owned by the lane's ``LaneInput``.
package struct CloseSearch: Sendable {
    package enum Result: Equatable, Sendable {
        case goesOn
        /// The client has said Close, or has broken the protocol.
        case isOver
        /// So much has come that the client does not seem to wait for anything.
        case tooMuch
    }

    private static let mostBytes = 4 << 20

    /// Frames that are still looked at. A client that has more of them under way is not seen to close: its connection
    /// ends when its time is over.
    private var room = WorkUnits.messages
    private var bytes = 0

    /// - Returns: whether the client has said Close in what `assembler` holds.
    mutating func begin(_ assembler: inout MessageAssembler) -> Bool { assembler.skim(room: &self.room) == .close }

    /// - Parameter isOfUse: the bytes may have a Close that is of use.
    mutating func take(_ bytes: ByteBuffer, _ assembler: inout MessageAssembler, isOfUse: Bool) -> Result {
        self.bytes += bytes.readableBytes
        guard self.bytes <= Self.mostBytes else { return .tooMuch }
        guard isOfUse, self.room > 0 else { return .goesOn }
        assembler.append(bytes)
        return assembler.skim(room: &self.room) == .nothing ? .goesOn : .isOver
    }
}

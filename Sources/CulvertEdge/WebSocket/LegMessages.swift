import CulvertCore
import NIOCore

/// The whole messages of a leg whose session wants them. Each turn of the loop takes as many frames as there is room
/// for. The leg owns it, on the connection's event loop; the legs of a native session have none, and no use for its
/// room.
final class LegMessages {
    private var assembler: MessageAssembler
    /// There are more frames than one turn of the loop takes.
    private(set) var waitForTurn = false

    init(_ assembler: MessageAssembler) { self.assembler = assembler }

    /// Bytes of memory that messages take which are not whole, or not wanted yet.
    var heldBytes: Int { self.assembler.heldCapacity }

    /// Payload bytes that have come, of messages that are not whole, too.
    var payloadBytes: UInt64 { self.assembler.payloadBytes }

    /// Pings, pongs and empty fragments that were taken.
    var controls: ControlCount { self.assembler.controls }

    func append(_ bytes: ByteBuffer) { self.assembler.append(bytes) }

    /// The turn for which they wait has come.
    func beginTurn() { self.waitForTurn = false }

    /// Gives `delegate` messages, a Close and a violation in the order in which they came.
    ///
    /// - Parameter all: whether or not the session wants them, since there will be no other time.
    func take(all: Bool, of leg: WebSocketLeg, for delegate: any LegDelegate) {
        guard !self.waitForTurn else { return }
        let most = delegate.legRoom(leg)
        var room = most
        var hasMore = false
        loop: while !leg.isDeaf, all || delegate.legWantsMessages(leg) {
            switch self.assembler.next(room: &room) {
            case .needMore: break loop
            case .noRoom:
                hasMore = true
                self.waitForTurn = true
                leg.pause(.turn)
                break loop
            case .message(let opcode, let payload):
                delegate.leg(leg, message: PollMessage(opcode: opcode, payload: payload))
            case .control(let opcode, let payload):
                guard opcode == .close else { continue }
                leg.saidClose(try? CloseFrame.parse(payload: payload.readableBytesView), for: delegate)
            case .violation(let code, let why):
                delegate.leg(leg, violation: code, why: why)
                break loop
            }
        }
        if let ping = self.assembler.takePing() { leg.control.received(ping: ping) }
        delegate.leg(leg, took: most - room, hasMore: hasMore)
    }
}

import CulvertCore
import NIOCore

/// What a connection holds while it speaks HTTP: counts it in the sum that `limits.memory` bounds, and does to the
/// connection what its ``ConnectionMemory`` asks for. Made where it is used, on the connection's loop.
struct ConnectionHoldings {
    let connection: ClientConnection

    private var memory: ConnectionMemory {
        let request = self.connection.request.content.kept.storageCapacity + (self.connection.exchange?.heldBytes ?? 0)
        return ConnectionMemory(
            waiting: self.connection.feeder.heldMemory + self.connection.request.headMemory,
            content: request + self.connection.answer.bytes, buffers: self.connection.feeder.keptMemory)
    }

    /// - Returns: what the process holds, if it is more now.
    func count() -> Int? { self.connection.hold.set(self.memory.sum) }

    /// Counts, and has the connection hold no more at the process's ceiling.
    func account() {
        let connection = self.connection
        // The bytes that still wait are the WebSocket's a tick later.
        guard connection.course.phase != .upgraded else { return }
        let memory = self.memory
        guard let used = connection.hold.set(memory.sum), let ceiling = connection.owner.memoryCeiling else { return }
        let isWhole = connection.request.isWhole
        switch memory.atCeiling(ceiling, used: used, in: connection.course.phase, isWhole: isWhole) {
        case .nothing: break
        case .relieveOthers: connection.owner.relieveMemory()
        case .refuse:
            connection.owner.note(.memoryFull)
            connection.owner.makeRoomInMemory()
            connection.refuse(.memoryFull)
        case .cut:
            connection.owner.note(.memoryFull)
            connection.cut()
        }
    }

    /// Ends the connection if it holds much and has waited for its client since then: for the rest of a head, or until the
    /// client reads an answer that is no session's.
    ///
    /// - Returns: bytes that it held; 0 if nothing was done.
    func endIfIdle(since time: NIODeadline) -> Int {
        let connection = self.connection
        let held = connection.hold.bytes
        guard held >= Self.leastIdle, connection.clock.since < time, ClientWait.isIdle(connection) else { return 0 }
        connection.cut()
        return held
    }

    /// Bytes of an idle connection that are worth its end.
    private static let leastIdle = 4 * 1024

    /// Gives back what the connection holds, for the relief of memory.
    ///
    /// - Returns: bytes that it held; 0 if it held fewer than `least`, and nothing was done.
    func relieve(least: Int) -> Int {
        let feeder = self.connection.feeder
        let held = self.connection.hold.bytes + (feeder.tls?.waitingMemory ?? 0)
        guard held >= least else { return 0 }
        switch ConnectionMemory.onRelief(held: held, buffers: feeder.keptMemory, in: self.connection.course.phase) {
        case .nothing: return 0
        case .refuse: self.connection.refuse(.memoryFull)
        case .cut: self.connection.cut()
        }
        return held
    }
}

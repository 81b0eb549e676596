import NIOCore

/// Counts what a connection holds while it speaks HTTP, in the sum that `limits.memory` bounds.
extension ClientConnection {
    /// Less than this is never refused for the process's memory.
    private static let alwaysHeld = 16 * 1024

    /// Counts what the connection holds, and refuses to hold more when the process is at its ceiling.
    func account() {
        // The bytes that still wait are the WebSocket's a tick later.
        guard self.phase != .upgraded else { return }
        let waiting = self.feeder.heldMemory + self.request.headMemory
        let bytes = waiting + self.request.body.storageCapacity + self.answer.bytes
        guard let used = self.hold.set(bytes + self.feeder.keptMemory), let ceiling = self.owner.memoryCeiling,
            used > ceiling
        else { return }
        guard bytes > Self.alwaysHeld else {
            // Many connections that hold little each are let go of together.
            self.owner.relieveMemory()
            return
        }
        switch self.phase {
        case .deciding where !self.request.isWhole, .body:
            self.owner.note(.memoryFull)
            self.refuse(.memoryFull)
        case .answering: self.owner.relieveMemory()
        // No session is closed for heads, and for requests that wait in line.
        default:
            guard waiting > Self.alwaysHeld else { return }
            self.owner.note(.memoryFull)
            self.cut()
        }
    }

    /// Gives back what the connection holds, for the relief of memory: a body is refused; requests that wait, and an
    /// answer that its client has not taken, end with the connection.
    ///
    /// - Returns: bytes that it held; 0 if it held fewer than `least`, and nothing was done.
    func relieve(least: Int) -> Int {
        let held = self.hold.bytes
        guard held >= least else { return 0 }
        switch self.phase {
        case .upgraded, .closed: return 0
        case .body: self.refuse(.memoryFull)
        case .idle: self.cut()
        // Kept buffers alone end no request.
        default:
            guard held > self.feeder.keptMemory else { return 0 }
            self.cut()
        }
        return held
    }
}

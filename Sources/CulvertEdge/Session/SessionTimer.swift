import NIOCore

/// The timer of a session, for all its deadlines. For an earlier deadline it is set again at once. For a later deadline
/// it is set again when it fires. A part of ``Session``.
struct SessionTimer {
    private var timer: LoopTimers.Timer?
    private var due = NIODeadline.distantFuture

    /// Whether the timer has to be set for `deadline`; false if it is set for this time or an earlier one.
    func needs(_ deadline: NIODeadline) -> Bool { self.timer == nil || self.due > deadline }

    mutating func set(at deadline: NIODeadline, in timers: LoopTimers, _ action: @escaping () -> Void) {
        timers.cancel(self.timer)
        self.due = deadline
        self.timer = timers.schedule(at: deadline, action)
    }

    mutating func stop(in timers: LoopTimers) {
        timers.cancel(self.timer)
        self.timer = nil
    }

    mutating func fired() { self.timer = nil }
}

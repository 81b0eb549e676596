import NIOCore

/// The timers of a lane. Owned by ``SocketLane``, on its loop; what they fire may hold the lane.
struct LaneTimers {
    private let loop: any EventLoop
    private let timers: LoopTimers
    /// Fires when the lane has waited long enough.
    private var deadline: LoopTimers.Timer?
    /// Ends the pause of a client whose pings and pongs came too fast.
    private var pause: LoopTimers.Timer?
    private var keepalive: RepeatedTask?

    init(loop: any EventLoop, timers: LoopTimers) {
        self.loop = loop
        self.timers = timers
    }

    /// Fires `action` at `deadline`, and not what was to fire before. Nil cancels that alone.
    mutating func wake(at deadline: NIODeadline?, _ action: @escaping () -> Void) {
        self.timers.cancel(self.deadline)
        self.deadline = deadline.map { self.timers.schedule(at: $0, action) }
    }

    /// Fires `action` after `time`. The pause replaces one that goes on.
    mutating func pause(for time: TimeAmount, _ action: @escaping () -> Void) {
        self.timers.cancel(self.pause)
        self.pause = self.timers.schedule(in: time, action)
    }

    /// Fires `action` once in a period, until ``cancel()``.
    mutating func startKeepalive(period: TimeAmount, _ action: @escaping @Sendable (RepeatedTask) -> Void) {
        self.keepalive = self.loop.scheduleRepeatedTask(initialDelay: period, delay: period, action)
    }

    /// Cancels all of them, because the lane is gone.
    func cancel() {
        self.timers.cancel(self.deadline)
        self.keepalive?.cancel()
        self.timers.cancel(self.pause)
    }
}

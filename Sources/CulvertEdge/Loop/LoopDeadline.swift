import NIOCore

/// A moment at which something is to happen unless it is put off. Bound to its loop.
///
/// It is put off at each request and each read. So the timer stays where it is when the moment moves away from it,
/// and is set again when it fires too early.
final class LoopDeadline {
    private let loop: any EventLoop
    private let timers: LoopTimers
    private var onPassed: () -> Void
    private var timer: (timer: LoopTimers.Timer, at: NIODeadline)?
    /// Nil for never.
    private(set) var due: NIODeadline?

    init(loop: any EventLoop, timers: LoopTimers, onPassed: @escaping () -> Void) {
        self.loop = loop
        self.timers = timers
        self.onPassed = onPassed
    }

    func set(in time: TimeAmount) { self.set(at: self.loop.now + time) }

    func set(at due: NIODeadline) {
        self.due = due
        if let timer = self.timer {
            guard due < timer.at else { return }
            self.timers.cancel(timer.timer)
        }
        self.start(due)
    }

    /// It does not pass; the timer may stay.
    func clear() { self.due = nil }

    /// Forgets the moment and `onPassed` for good, and cancels the timer. The owner calls it when it ends, because
    /// `onPassed` may hold the owner.
    func cancel() {
        self.onPassed = {}
        self.due = nil
        self.timers.cancel(self.timer?.timer)
        self.timer = nil
    }

    private func start(_ due: NIODeadline) {
        self.timer = (self.timers.schedule(at: due) { self.fired() }, due)
    }

    private func fired() {
        self.timer = nil
        guard let due = self.due else { return }
        guard due <= self.loop.now else {
            self.start(due)
            return
        }
        self.due = nil
        self.onPassed()
    }
}

import NIOCore

/// A moment at which something is to happen unless it is put off. Bound to its loop.
///
/// It is put off at each request and each read. So the timer stays where it is when the moment moves away from it,
/// and is set again when it fires too early.
final class LoopDeadline {
    private let loop: any EventLoop
    private var onPassed: () -> Void
    private var timer: (task: Scheduled<Void>, at: NIODeadline)?
    /// Nil for never.
    private(set) var due: NIODeadline?

    init(loop: any EventLoop, onPassed: @escaping () -> Void) {
        self.loop = loop
        self.onPassed = onPassed
    }

    func set(in time: TimeAmount) { self.set(at: self.loop.now + time) }

    func set(at due: NIODeadline) {
        self.due = due
        if let timer = self.timer {
            guard due < timer.at else { return }
            timer.task.cancel()
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
        self.timer?.task.cancel()
        self.timer = nil
    }

    private func start(_ due: NIODeadline) {
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.timer = (self.loop.scheduleTask(deadline: due) { bound.value.fired() }, due)
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

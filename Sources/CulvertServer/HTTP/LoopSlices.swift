import DequeModule
import NIOCore

/// Work of one event loop that is done in slices, with the sockets' turn between them. Bound to that loop.
///
/// `EventLoop.execute` gives the sockets no turn: NIO runs tasks until none is left, those that tasks have added
/// included. So all the work of a loop has a single timer, which is set again after each slice.
final class LoopSlices {
    /// The time of work before the sockets have their turn; the last piece of work may exceed it.
    private static let turn = TimeAmount.milliseconds(1)
    private static let pause = TimeAmount.microseconds(100)

    private let loop: any EventLoop
    private var waiting: Deque<() -> Void> = []
    private var isScheduled = false

    init(loop: any EventLoop) { self.loop = loop }

    /// Runs `work` in a later turn, behind what waits already.
    func enqueue(_ work: @escaping () -> Void) {
        self.waiting.append(work)
        self.schedule()
    }

    /// Runs `step` in later turns until it returns false. Other work has its turn between two steps.
    func repeatWhile(_ step: @escaping () -> Bool) {
        self.enqueue { if step() { self.repeatWhile(step) } }
    }

    private func schedule() {
        guard !self.isScheduled else { return }
        self.isScheduled = true
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.loop.scheduleTask(in: Self.pause) { bound.value.run() }
    }

    private func run() {
        // Work that enqueues its rest sets no timer meanwhile. Such a timer would be due before the slice is over, and
        // NIO would run the next slice at once, without the sockets' turn.
        let end = self.loop.now + Self.turn
        repeat {
            guard let work = self.waiting.popFirst() else { break }
            work()
        } while self.loop.now < end
        self.isScheduled = false
        if !self.waiting.isEmpty { self.schedule() }
    }
}

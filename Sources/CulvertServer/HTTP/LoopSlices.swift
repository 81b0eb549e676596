import DequeModule
import NIOCore

/// Work of one event loop that is done in slices, with the sockets' turn between them. Bound to that loop.
///
/// `EventLoop.execute` gives the sockets no turn: NIO runs tasks until none is left, those that tasks have added
/// included. Hence one timer for all the work of a loop, set anew after each slice.
final class LoopSlices {
    /// What runs before the sockets have their turn; what runs last may take longer.
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

    private func schedule() {
        guard !self.isScheduled else { return }
        self.isScheduled = true
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.loop.scheduleTask(in: Self.pause) { bound.value.run() }
    }

    private func run() {
        self.isScheduled = false
        let end = self.loop.now + Self.turn
        repeat {
            guard let work = self.waiting.popFirst() else { return }
            work()
        } while self.loop.now < end
        if !self.waiting.isEmpty { self.schedule() }
    }
}

import HeapModule
import NIOCore

/// The timers of one event loop for all that clients can have many of: connections, sessions, lanes. Owned by the
/// loop's ``LoopState``, and called on that loop alone.
///
/// NIO searches all tasks that wait for the task that it cancels, so each new connection would pay for every idle
/// connection beside it. Here a cancelled timer stays in the heap without its action, until its time comes or until
/// such timers are the most. And NIO runs all tasks that are due in one turn of the loop. Here they run in slices, and
/// the sockets have their turn between them: the tokens of thousands of sessions may expire in the same moment.
final class LoopTimers {
    /// A timer that waits, has fired or is cancelled.
    final class Timer {
        fileprivate var action: (() -> Void)?

        fileprivate init(_ action: @escaping () -> Void) { self.action = action }
    }

    private struct Entry: Comparable {
        var due: NIODeadline
        /// Timers that are due in the same moment fire in the order in which they were set.
        var number: UInt64
        var timer: Timer

        static func < (a: Entry, b: Entry) -> Bool { (a.due, a.number) < (b.due, b.number) }
        static func == (a: Entry, b: Entry) -> Bool { a.number == b.number }
    }

    /// The time of timers before the sockets have their turn; the last timer may exceed it.
    private static let turn = TimeAmount.milliseconds(1)
    /// Fewer cancelled timers are left where they are.
    private static let mostCancelled = 1024

    private let loop: any EventLoop
    private let slices: LoopSlices
    private var heap = Heap<Entry>()
    private var next: UInt64 = 0
    /// Entries of the heap whose timers are cancelled.
    private var cancelled = 0
    /// NIO's task for the earliest timer.
    private var armed: (task: Scheduled<Void>, at: NIODeadline)?
    /// Timers that are due wait for their slice.
    private var isFiring = false

    init(loop: any EventLoop, slices: LoopSlices) {
        self.loop = loop
        self.slices = slices
    }

    /// Entries of the heap, the cancelled included.
    var count: Int { self.heap.count }

    func schedule(in time: TimeAmount, _ action: @escaping () -> Void) -> Timer {
        self.schedule(at: self.loop.now + time, action)
    }

    /// - Parameter action: runs in a turn of the loop of its own, at `due` or later. It is let go of when the timer is
    ///   cancelled.
    func schedule(at due: NIODeadline, _ action: @escaping () -> Void) -> Timer {
        let timer = Timer(action)
        self.heap.insert(Entry(due: due, number: self.next, timer: timer))
        self.next &+= 1
        self.arm()
        return timer
    }

    /// Does nothing for a timer that has fired, or is cancelled.
    func cancel(_ timer: Timer?) {
        guard let timer, timer.action != nil else { return }
        timer.action = nil
        self.cancelled += 1
        guard self.cancelled > Self.mostCancelled, self.cancelled > self.heap.count / 2 else { return }
        self.heap = Heap(self.heap.unordered.filter { $0.timer.action != nil })
        self.cancelled = 0
    }

    private func arm() {
        guard !self.isFiring, let first = self.heap.min else { return }
        if let armed = self.armed {
            if armed.at <= first.due { return }
            armed.task.cancel()
        }
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.armed = (self.loop.scheduleTask(deadline: first.due) { bound.value.fire() }, first.due)
    }

    private func fire() {
        self.armed = nil
        self.isFiring = true
        let end = self.loop.now + Self.turn
        repeat {
            guard self.fireNext() else { return }
        } while self.loop.now < end
        self.slices.repeatOften { self.fireNext() }
    }

    /// Fires the earliest timer that is due.
    ///
    /// - Returns: false when no timer is due; the next is waited for then.
    private func fireNext() -> Bool {
        while let first = self.heap.min, first.due <= self.loop.now {
            self.heap.removeMin()
            guard let action = first.timer.action else {
                self.cancelled -= 1
                continue
            }
            first.timer.action = nil
            action()
            return true
        }
        self.isFiring = false
        self.arm()
        return false
    }
}

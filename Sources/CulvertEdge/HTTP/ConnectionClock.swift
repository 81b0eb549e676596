import CulvertCore
import NIOCore

/// The clock of a client's connection: the deadlines that it has, and the timer that follows them. Belongs to a
/// ``ClientConnection``, and is used on its loop.
struct ConnectionClock {
    private let loop: any EventLoop
    private let timers: LoopTimers
    private var deadlines = ConnectionDeadlines()
    /// Nil until ``start(_:)``.
    private var timer: LoopDeadline?

    init(loop: any EventLoop, timers: LoopTimers) {
        self.loop = loop
        self.timers = timers
    }

    /// When the connection began to wait for its client, or had a sign last that the client goes on.
    var since: NIODeadline { self.deadlines.since }

    /// - Parameter onPassed: called at each deadline that passes. It is held until ``cancel()``.
    mutating func start(_ onPassed: @escaping () -> Void) {
        self.timer = LoopDeadline(loop: self.loop, timers: self.timers, onPassed: onPassed)
    }

    mutating func wait(for step: ConnectionDeadlines.Step, within bounds: ConnectionBounds) {
        self.deadlines.wait(for: step, within: bounds, now: self.loop.now)
        self.follow()
    }

    /// - Parameter count: bytes of content of a body that came.
    mutating func contentCame(_ count: Int, within bounds: ConnectionBounds) {
        self.deadlines.contentCame(count, within: bounds, now: self.loop.now)
        self.follow()
    }

    /// The client goes on with what it does, in the time that it has.
    mutating func goesOn() { self.deadlines.goesOn(now: self.loop.now) }

    /// The client is waited for no more; the timer may stay.
    mutating func stop() {
        self.deadlines.stop()
        self.follow()
    }

    /// No deadline passes any more.
    func cancel() { self.timer?.cancel() }

    private func follow() {
        if let due = self.deadlines.due { self.timer?.set(at: due) } else { self.timer?.clear() }
    }
}

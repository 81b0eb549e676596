import Glibc
import NIOCore

/// Stops a listening socket from accepting while descriptors are short. A client that waits keeps the socket readable,
/// so that a loop which asks accept(2) again and again, and is refused, spins. Clients wait in the kernel's queue
/// meanwhile; a timer looks for room.
///
/// Not by withholding `read`: NIO does not ask again after an accept(2) that failed, for the read before is still
/// pending. Only `autoRead` takes the socket out of the selector.
final class AcceptGate: ChannelInboundHandler {
    typealias InboundIn = any Channel

    enum Event: Sendable {
        /// A connection of this listener has a number that is kept for others.
        case reserveReached
    }

    enum Share: Sendable {
        /// Leaves the reserve of ``DescriptorBudget`` to others.
        case clients
        /// May use the reserve. ``ControlConnections`` bounds its connections, so that they are not all of it.
        case control
    }

    /// The most connections that a listening socket accepts in one turn of its loop. The kernel's queue knows no clients,
    /// so that a flood of connections holds up all new clients of a loop that accepts fewer than come.
    static let connectionsPerTurn: UInt = 32
    /// Between two looks for room.
    private static let pause = TimeAmount.milliseconds(100)

    private let share: Share
    private let watch: AcceptWatch
    private let makeRoom: @Sendable () -> Void
    private var timer: Scheduled<Void>?
    /// Why it pauses; memory may be short as well.
    private var isShortOfDescriptors = true

    /// - Parameter makeRoom: is called on the listener's loop when it pauses for want of descriptors, and at each look that
    ///   finds no room.
    init(_ share: Share, watch: AcceptWatch, makeRoom: @escaping @Sendable () -> Void = {}) {
        self.share = share
        self.watch = watch
        self.makeRoom = makeRoom
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is Event {
            self.pause(context, nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Errors for which NIO does not close the listener.
        if let error = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode) {
            self.pause(context, error)
        } else {
            self.watch.failed(error, address: context.localAddress)
            context.fireErrorCaught(error)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.timer = nil
    }

    private func pause(_ context: ChannelHandlerContext, _ error: IOError?) {
        guard self.timer == nil, context.channel.isActive else { return }
        self.watch.paused(by: error, address: context.localAddress, on: context.eventLoop)
        self.isShortOfDescriptors = error.map { $0.errnoCode == EMFILE || $0.errnoCode == ENFILE } ?? true
        self.wait(context)
        self.update(context)
    }

    private func wait(_ context: ChannelHandlerContext) {
        if self.isShortOfDescriptors { self.makeRoom() }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        self.timer = context.eventLoop.scheduleTask(in: Self.pause) {
            let (gate, context) = bound.value
            if gate.watch.hasRoom(for: gate.share) {
                gate.timer = nil
                gate.update(context)
            } else {
                gate.wait(context)
            }
        }
    }

    private func update(_ context: ChannelHandlerContext) {
        guard let options = context.channel.syncOptions, context.channel.isActive else { return }
        try? options.setOption(.autoRead, value: self.timer == nil)
    }
}

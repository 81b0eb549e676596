import CulvertSystem
import Glibc
import Logging
import NIOCore
import Synchronization

/// The descriptors of the process as its listeners see them, and the log lines about them.
final class AcceptWatch: Sendable {
    /// An accepted connection that used what is kept for others.
    struct Reserved: Error {}

    private let budget: DescriptorBudget
    private let logger: Logger
    private let reports = Mutex(AcceptReports())

    init(budget: DescriptorBudget = .process, logger: Logger) {
        self.budget = budget
        self.logger = logger
    }

    var bounds: DescriptorBudget.Bounds { self.budget.bounds }

    /// Looks at how short descriptors are when a client's connection was just accepted, on its event loop.
    ///
    /// - Throws: ``Reserved`` for a connection that came before its listener could pause; the caller closes it.
    func accepted(_ channel: any Channel) throws {
        let bounds = self.bounds
        // NIO gives a socket's number by a cast that costs ten times as much as asking the system.
        // If no descriptor is left, the next accept(2) fails and gives the reason.
        guard !self.budget.isFree(from: bounds.clients, none: true) else { return }
        channel.parent?.pipeline.fireUserInboundEventTriggered(AcceptGate.Event.reserveReached)
        if !self.budget.isFree(from: bounds.upstreams, none: true) { throw Reserved() }
    }

    /// Whether a listener can accept again.
    func hasRoom(for share: AcceptGate.Share) -> Bool {
        // An operator may have raised the limit (prlimit(1)).
        self.budget.update()
        return switch share {
        case .clients: self.budget.lowestFree() < self.bounds.clients
        case .control: self.budget.lowestFree() < self.bounds.limit
        }
    }

    /// - Parameter error: the system's answer to accept(2); nil when the rest is kept for others.
    func paused(by error: IOError?, address: SocketAddress?, on loop: any EventLoop) {
        self.budget.update()
        self.obey(self.reports.withLock { $0.paused(at: .now()) }, error, address, loop)
    }

    /// NIO closes a listener for any other error of accept(2).
    func failed(_ error: any Error, address: SocketAddress?) {
        self.logger.error(
            "listener failed, and accepts no more",
            metadata: ["address": "\(address?.host ?? "admin")", "reason": "\(error)"])
    }

    private func obey(
        _ answer: AcceptReports.Answer, _ error: IOError?, _ address: SocketAddress?, _ loop: any EventLoop
    ) {
        if let line = answer.line { self.log(line, error, address) }
        guard let time = answer.lookIn else { return }
        loop.scheduleTask(in: time) {
            self.obey(self.reports.withLock { $0.look(at: .now()) }, error, address, loop)
        }
    }

    private func log(_ line: AcceptReports.Line, _ error: IOError?, _ address: SocketAddress?) {
        let bounds = self.bounds
        switch line {
        case .paused(let pauses):
            // By accept(2), memory is the only other thing that may be short.
            let isDescriptors = error.map { $0.errnoCode == EMFILE || $0.errnoCode == ENFILE } ?? true
            self.logger.warning(
                isDescriptors
                    ? "out of file descriptors: accepting pauses, and clients wait; raise the limit, or lower limits"
                    : "out of memory: accepting pauses, and clients wait",
                metadata: [
                    "address": "\(address?.host ?? "admin")", "limit": .stringConvertible(bounds.limit),
                    "reserved": .stringConvertible(bounds.limit - bounds.clients),
                    "in_use": .stringConvertible(self.budget.lowestFree()), "pauses": .stringConvertible(pauses),
                    "reason": "\(error.map { String(cString: strerror($0.errnoCode)) } ?? "the rest is reserved")",
                ])
        case .over(let pauses, let lasted):
            self.logger.info(
                "file descriptors suffice again: accepting goes on",
                metadata: [
                    "pauses": .stringConvertible(pauses),
                    "seconds": .stringConvertible(Double(lasted.nanoseconds / 1_000_000) / 1000),
                ])
        }
    }
}

import CulvertAdmin
import CulvertConfig
import CulvertEdge
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// Why the server stops.
enum StopReason: Sendable {
    /// A signal: as the configuration says.
    case signal
    case drain(DrainPlan)
    /// Another process has the listeners; to be told when this one accepts no more.
    case handedOver(done: @Sendable () -> Void)
}

/// The first reason to stop; later ones change nothing.
final class StopRequest: Sendable {
    private let stream: AsyncStream<StopReason>
    private let continuation: AsyncStream<StopReason>.Continuation
    private let isMade = Atomic<Bool>(false)

    init() { (self.stream, self.continuation) = AsyncStream.makeStream() }

    /// - Returns: whether it was the first.
    @discardableResult
    func make(_ reason: StopReason) -> Bool {
        guard !self.isMade.exchange(true, ordering: .relaxed) else { return false }
        self.continuation.yield(reason)
        self.continuation.finish()
        return true
    }

    var reason: StopReason {
        get async {
            for await reason in self.stream { return reason }
            return .signal
        }
    }
}

/// The running server, from its first connection to its last.
struct EdgeService: Service {
    let edge: EdgeServer
    let control: ControlPlane?
    let reloader: Reloader?
    let stop: StopRequest
    let takeover: TakeoverServer?
    let manager: ServiceManager
    let logger: Logger
    let afterwards: (@Sendable () async -> Void)?

    func run() async throws {
        let heartbeat = self.heartbeat()
        let stop = self.stop
        let reason = await withGracefulShutdownHandler {
            await stop.reason
        } onGracefulShutdown: {
            stop.make(.signal)
        }
        switch reason {
        case .handedOver(let done):
            // The service does not stop: another process is it now.
            let retired = await self.control?.retire()
            await self.edge.drain(self.edge.drainPlan, handedOver: done)
            await self.reloader?.stop()
            retired?.shutdown()
        case .signal, .drain:
            self.manager.stopping()
            self.takeover?.stop()
            let plan = if case .drain(let plan) = reason { plan } else { self.edge.drainPlan }
            await self.edge.drain(plan)
            await self.reloader?.stop()
            await self.control?.shutdown()
        }
        heartbeat?.cancel()
        await self.afterwards?()
    }

    /// A manager that hears nothing for long kills and restarts. It is to hear something only while every event loop
    /// turns.
    private func heartbeat() -> Task<Void, Never>? {
        guard let period = self.manager.watchdogPeriod else { return nil }
        return Task {
            repeat {
                await self.edge.visitLoops()
                self.manager.alive()
            } while (try? await Task.sleep(for: period)) != nil
        }
    }
}

/// The service group logs its services, with all that is in them unless they say how they are called.
extension EdgeService: CustomStringConvertible {
    var description: String { "edge" }
}

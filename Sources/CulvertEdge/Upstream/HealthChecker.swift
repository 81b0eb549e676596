import CulvertConfig
import CulvertCore
import CulvertSystem
import Logging
import NIOCore
import Synchronization

/// Looks whether the servers of an upstream serve, each at its own pace, until it is told to stop.
final class HealthChecker: Sendable {
    private let upstream: String
    private let config: HealthConfig
    private let pool: ServerPool
    private let probe: HealthProbe
    private let logger: Logger
    private let tasks = Mutex<[Task<Void, Never>]>([])

    init(
        _ upstream: UpstreamConfig, config: HealthConfig, pool: ServerPool, tls: UpstreamTLS?, resolver: NameResolver,
        logger: Logger
    ) {
        self.upstream = upstream.name
        self.config = config
        self.pool = pool
        self.probe = HealthProbe(
            config: config, tls: tls, proxyProtocol: upstream.proxyProtocol, resolver: resolver)
        self.logger = logger
    }

    /// Starts the checks. Call this once.
    func start(on group: any EventLoopGroup) {
        self.tasks.withLock { tasks in
            tasks = self.pool.servers.map { server in
                let loop = group.next()
                return Task { await self.watch(server, on: loop) }
            }
        }
    }

    /// Stops the checks. The result of a check that is under way does not count.
    func stop() {
        self.tasks.withLock { tasks in
            for task in tasks { task.cancel() }
            tasks = []
        }
    }

    private func watch(_ server: PooledServer, on loop: any EventLoop) async {
        var health = Health(
            rise: self.config.rise, fall: self.config.fall, isHealthy: server.isHealthy)
        // Soon, but not all at once; then each a little off the interval, so that they drift apart.
        var pause = self.pause(of: 0..<0.1)
        var wasMade = true
        while (try? await Task.sleep(for: pause)) != nil {
            let result = await self.probe.run(server.config, on: loop)
            guard !Task.isCancelled else { return }
            pause = self.pause(of: 0.9..<1.1)
            if case .notMade(let reason) = result {
                // Logged once: the next checks are likely to meet the same shortage.
                if wasMade { self.log("server not checked", server, reason) }
                wasMade = false
                continue
            }
            wasMade = true
            let failure: String? = if case .failed(let reason) = result { reason } else { nil }
            let change = health.checked(passed: failure == nil)
            server.checked(LastCheck(at: Clock.unixSeconds(), failure: failure), isHealthy: health.isHealthy)
            switch change {
            case .becameHealthy:
                self.logger.info(
                    "server healthy", metadata: self.metadata(server, "\(self.config.rise) checks passed"))
                self.pool.serveWaiting()
            case .becameUnhealthy: self.log("server unhealthy", server, failure ?? "")
            case nil: break
            }
        }
    }

    private func pause(of range: Range<Double>) -> Duration {
        .nanoseconds(Int64(Double(self.config.interval.nanoseconds) * .random(in: range)))
    }

    private func log(_ message: Logger.Message, _ server: PooledServer, _ reason: String) {
        self.logger.warning(message, metadata: self.metadata(server, reason))
    }

    private func metadata(_ server: PooledServer, _ reason: String) -> Logger.Metadata {
        ["upstream": "\(self.upstream)", "server": "\(server.config.url)", "reason": "\(reason)"]
    }
}

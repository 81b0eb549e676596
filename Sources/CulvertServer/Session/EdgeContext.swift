package import CulvertCore
import Logging
import NIOCore
import NIOHTTP1
import Synchronization

/// A page that the edge answers itself, for the demo: HTML for a path, nil for every other.
package typealias StaticPages = @Sendable (_ path: String) -> String?

/// Verifies the signature and the claims of a JWT.
package typealias JWTVerification = @Sendable (_ jwt: String) async -> Result<Credential, JWTRefusal>

/// What every connection of one edge shares for as long as the process runs. What the configuration says is in
/// ``EdgeRules``, which each loop has for itself.
final class EdgeContext: Sendable {
    let loops: [NIOLoopBound<LoopState>]
    let pages: StaticPages?
    let logger: Logger
    let log: SessionLog
    /// Tells this process from its peers in session identifiers.
    let node: UInt16
    let memory = SessionMemory()
    private let open = Atomic<Int>(0)
    private let draining = Atomic<Bool>(false)
    private let current: Mutex<EdgeRules>

    init(rules: EdgeRules, loops: [NIOLoopBound<LoopState>], pages: StaticPages?, logger: Logger) {
        self.current = Mutex(rules)
        self.loops = loops
        self.pages = pages
        self.logger = logger
        self.log = SessionLog(logger: logger)
        self.node = .random(in: .min ... .max)
    }

    /// Those that were set last; for the control plane, since loops have their own.
    var rules: EdgeRules { self.current.withLock(\.self) }

    func load(_ limits: LimitsConfig) -> Gate.Load {
        Gate.Load(
            open: self.openSessions, limit: limits.connections, isDraining: self.isDraining,
            isMemoryFull: limits.memory.map { self.memory.used > $0 } ?? false)
    }

    var openSessions: Int { self.open.load(ordering: .relaxed) }

    var isDraining: Bool { self.draining.load(ordering: .relaxed) }

    func drain() { self.draining.store(true, ordering: .relaxed) }

    func sessionOpened(_ credential: Credential?) {
        self.open.wrappingAdd(1, ordering: .relaxed)
        credential?.entry.use.sessionOpened()
    }

    func sessionClosed(_ credential: Credential?) {
        self.open.wrappingSubtract(1, ordering: .relaxed)
        credential?.entry.use.sessionClosed()
    }
}

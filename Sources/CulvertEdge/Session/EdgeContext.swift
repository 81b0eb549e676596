import CulvertConfig
package import CulvertCore
import CulvertSystem
import Logging
import NIOCore
import NIOHTTP1
import Synchronization

/// Verifies the signature and the claims of a JWT that a client of an address has sent.
package typealias JWTVerification =
    @Sendable (_ jwt: String, _ address: AddressKey) async -> Result<Credential, JWTRefusal>

/// What every connection of one edge shares for as long as the process runs. What the configuration says is in
/// ``EdgeRules``, which each loop has for itself.
final class EdgeContext: Sendable {
    /// Of `loops`, and of no other.
    let group: any EventLoopGroup
    let loops: [NIOLoopBound<LoopState>]
    /// By path, for the demo.
    let pages: [String: StaticFile]
    let logger: Logger
    let log: SessionLog
    let notices: Notices
    let refusals: RefusalLog
    /// Tells this process from its peers in session identifiers.
    let node: UInt16
    let admissions = Admissions()
    let memory = SessionMemory()
    let accepts: AcceptWatch
    private let stage = Atomic<Int>(0)
    private let handedOver = Atomic<Bool>(false)
    let rooms = RoomPauses()
    private let current: Mutex<EdgeRules>

    /// How near the end is.
    enum Stage: Int {
        case ready
        case unready
        case draining
        case stopping
    }

    init(
        rules: EdgeRules, group: any EventLoopGroup, loops: [NIOLoopBound<LoopState>], pages: [String: StaticFile],
        logger: Logger
    ) {
        self.current = Mutex(rules)
        self.group = group
        self.loops = loops
        self.pages = pages
        self.logger = logger
        self.log = SessionLog(logger: logger)
        self.notices = Notices(logger: logger)
        self.refusals = RefusalLog(logger: logger)
        self.accepts = AcceptWatch(logger: logger)
        self.node = .random(in: .min ... .max)
    }

    /// To be called on that loop.
    func state(of loop: any EventLoop) -> LoopState? {
        self.loops.first { $0.eventLoop === loop }?.value
    }

    /// Those that were set last; for the control plane, since loops have their own.
    var rules: EdgeRules { self.current.withLock(\.self) }

    /// - Returns: those before.
    func replace(_ rules: EdgeRules) -> EdgeRules {
        self.current.withLock { current in
            let previous = current
            current = rules
            return previous
        }
    }

    func load(_ limits: LimitsConfig) -> Gate.Load {
        Gate.Load(
            isDraining: self.isDraining, isMemoryFull: limits.memory.map { self.memory.used > $0 } ?? false)
    }

    var openSessions: Int { self.admissions.openSessions }

    /// False from the moment on that balancers should look elsewhere; new sessions may still be taken.
    var isReady: Bool { self.stage.load(ordering: .relaxed) == Stage.ready.rawValue }

    /// No new sessions; those that are open are being closed.
    var isDraining: Bool { self.stage.load(ordering: .relaxed) >= Stage.draining.rawValue }

    /// No connection is kept for another request.
    var isStopping: Bool { self.stage.load(ordering: .relaxed) >= Stage.stopping.rawValue }

    /// Another process accepts at the listeners: what asks for a session on a connection of ours should ask it.
    var isHandedOver: Bool { self.handedOver.load(ordering: .relaxed) }

    func handOver() { self.handedOver.store(true, ordering: .relaxed) }

    func enter(_ stage: Stage) { self.stage.store(stage.rawValue, ordering: .relaxed) }
}

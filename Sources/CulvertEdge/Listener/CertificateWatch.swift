package import CulvertConfig
import CulvertSystem
import Foundation
import Logging
import NIOCore
import Synchronization

/// A listener's TLS and where it goes when its files change.
package struct WatchedTLS: Sendable {
    var listener: String
    var config: TLSConfig
    var clientCA: String?
    var install: @Sendable (ServerTLS) -> Void

    package init(
        listener: String, config: TLSConfig, clientCA: String? = nil, install: @escaping @Sendable (ServerTLS) -> Void
    ) {
        self.listener = listener
        self.config = config
        self.clientCA = clientCA
        self.install = install
    }

    var files: [String] {
        self.config.certificates.flatMap { [$0.certificate, $0.key] } + (self.clientCA.map { [$0] } ?? [])
    }
}

/// Looks at the files of certificates, and swaps what is served when they have changed. Connections that are open keep
/// what they began with.
///
/// Runs on a thread of its own: a file system that does not answer holds up neither tasks nor who asks what is served.
package actor CertificateWatch {
    /// From this long before its end on an operator is reminded of a certificate, once a day.
    private static let warningTime: Int64 = 14 * 86_400

    private let executor = BlockingQueue("certificates")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { self.executor.asUnownedSerialExecutor() }

    private let logger: Logger
    private var listeners: [WatchedTLS] = []
    private var admin: WatchedTLS?
    private var period: TimeAmount?
    private var seen: [String: FileState] = [:]
    private var failed: [String: FileState]?
    /// State that other tasks may read while a file is being read.
    private let shared = Mutex(Shared())

    private struct Shared {
        var infos: [CertificateInfo] = []
        var task: Task<Void, Never>?
        var isStopped = false
    }
    private var warned: [String: Int64] = [:]

    /// Changes when a file is written, replaced, or a link to it is set elsewhere.
    private struct FileState: Equatable {
        var modified: Date?
        var size: Int?
        var number: Int?

        init(_ path: String) {
            let path = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
            let attributes = try? FileManager.default.attributesOfItem(atPath: path)
            self.modified = attributes?[.modificationDate] as? Date
            self.size = attributes?[.size] as? Int
            self.number = attributes?[.systemFileNumber] as? Int
        }
    }

    init(logger: Logger) { self.logger = logger }

    /// Watches these listeners from now on. When their files change, their certificates are loaded and installed.
    ///
    /// - Parameter period: nil to watch no more.
    func begin(_ listeners: [WatchedTLS], period: TimeAmount?) {
        self.listeners = listeners
        self.period = period
        self.load()
        self.schedule()
    }

    package func setAdmin(_ admin: WatchedTLS?) {
        // The admin API starts after the listeners, so its first certificates are not a change of a file.
        let isFirst = self.admin == nil
        self.admin = admin
        self.load(isFirst: isFirst)
    }

    /// Looks no more. Does not wait for a look that is under way.
    package nonisolated func stop() {
        let task = self.shared.withLock { shared -> Task<Void, Never>? in
            shared.isStopped = true
            return shared.task.take()
        }
        task?.cancel()
    }

    /// The certificates that are served.
    package nonisolated var certificates: [CertificateInfo] { self.shared.withLock(\.infos) }

    private var all: [WatchedTLS] { self.listeners + (self.admin.map { [$0] } ?? []) }

    private func schedule() {
        let period = self.period
        let old = self.shared.withLock { shared -> Task<Void, Never>? in
            let old = shared.task.take()
            guard let period, !shared.isStopped else { return old }
            shared.task = Task { [weak self] in
                while (try? await Task.sleep(for: .nanoseconds(period.nanoseconds))) != nil {
                    guard let self else { return }
                    await self.look()
                }
            }
            return old
        }
        old?.cancel()
    }

    private func look() {
        if self.states != self.seen { self.load() }
        self.warn()
    }

    private var states: [String: FileState] {
        Dictionary(self.all.flatMap(\.files).map { ($0, FileState($0)) }) { first, _ in first }
    }

    /// - Parameter isFirst: true if new certificates do not mean that a file has changed, as at the start.
    private func load(isFirst: Bool = false) {
        let isFirst = isFirst || self.seen.isEmpty
        // Before the files are read: what is written in between is seen the next time.
        let states = self.states
        do {
            // All or none: a certificate whose key is not there yet waits for it.
            let contexts = try self.all.map { try Self.makeContext($0) }
            let infos = try self.all.flatMap { try TLSContexts.infos($0.config, listener: $0.listener) }
            for (watched, context) in zip(self.all, contexts) { watched.install(context) }
            if !isFirst, infos != self.certificates {
                self.logger.info("certificates changed", metadata: ["certificates": "\(infos.count)"])
            }
            self.shared.withLock { $0.infos = infos }
            self.seen = states
            self.failed = nil
        } catch {
            // Tried again each time, for it may have been none of the files' fault, but said once.
            guard self.failed != states else { return }
            self.failed = states
            self.logger.warning("certificates not changed; those before stay", metadata: ["reason": "\(error)"])
        }
        self.warn()
    }

    private static func makeContext(_ watched: WatchedTLS) throws -> ServerTLS {
        do {
            return try TLSContexts.make(watched.config, clientCA: watched.clientCA)
        } catch {
            let fault = CertificateFault.first(in: watched.config, clientCA: watched.clientCA, error)
            throw TLSContexts.Unusable(description: fault)
        }
    }

    private func warn() {
        let now = Clock.unixSeconds()
        for info in self.certificates where info.notAfter - now < Self.warningTime {
            guard self.warned[info.file] ?? .min < now - 86_400 || self.warned[info.file] == nil else { continue }
            self.warned[info.file] = now
            self.logger.warning(
                info.notAfter <= now ? "certificate has expired" : "certificate expires soon",
                metadata: ["file": "\(info.file)", "not_after": "\(UnixTime.text(info.notAfter))"])
        }
    }
}

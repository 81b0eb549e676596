import AsyncHTTPClient
import CulvertCore
import Logging
import NIOCore
import NIOPosix
import NIOSSL

/// A set of keys in a file or behind a URL. The last good set is kept until another good one replaces it.
actor KeySetSource {
    nonisolated let config: KeySetConfig
    private let network: KeySetNetwork
    private let logger: Logger
    /// Nil until a good set has been read.
    private(set) var keys: [JWTKey]?
    private var lastStart: NIODeadline?
    private var running: Task<Bool, Never>?

    init(_ config: KeySetConfig, network: KeySetNetwork, logger: Logger) {
        self.config = config
        self.network = network
        self.logger = logger
    }

    /// For a token whose key is unknown: what is read already is waited for; else it is read, unless it was lately.
    ///
    /// - Returns: whether the keys have changed.
    func refreshIfDue() async -> Bool {
        if let running = self.running { return await running.value }
        if let last = self.lastStart, .now() < last + self.config.cooldown { return false }
        return await self.refresh()
    }

    /// - Returns: whether the keys have changed.
    func refresh() async -> Bool {
        if let running = self.running { return await running.value }
        self.lastStart = .now()
        let task = Task { await self.read() }
        self.running = task
        let changed = await task.value
        self.running = nil
        return changed
    }

    /// Loads the set at a start. A file without a set is an error there; a server that is down is not.
    ///
    /// - Throws: ``ConfiguredJWTKey/Unusable``.
    func load() async throws(ConfiguredJWTKey.Unusable) {
        guard case .file(let path) = self.config.place else {
            _ = await self.refresh()
            return
        }
        do {
            self.keys = try await self.makeKeys()
        } catch {
            throw ConfiguredJWTKey.Unusable(file: path, message: "\(error)")
        }
    }

    private func read() async -> Bool {
        do {
            let keys = try await self.makeKeys()
            let changed = keys.map(\.description) != self.keys?.map(\.description)
            self.keys = keys
            if changed {
                self.logger.info(
                    "jwt keys read",
                    metadata: ["from": "\(self.config.name)", "keys": .stringConvertible(keys.count)])
            }
            return changed
        } catch {
            let metadata: Logger.Metadata = [
                "from": "\(self.config.name)", "reason": "\(self.reason(error))",
            ]
            if self.keys == nil {
                self.logger.warning("jwt keys not read; this set has none yet", metadata: metadata)
            } else {
                self.logger.warning("jwt keys not read; the last good ones stay", metadata: metadata)
            }
            return false
        }
    }

    private func makeKeys() async throws -> [JWTKey] {
        var keys: [JWTKey] = []
        for description in try await KeySet.read(self.config, self.network) {
            keys.append(try await JWTKey(description, source: .set))
        }
        return keys
    }

    /// Says why a set was not read. Errors of the client may quote the URL, so none is repeated as it is.
    private func reason(_ error: any Error) -> String {
        switch error {
        case let fault as KeySetFault: return fault.description
        case let failure as NIOConnectionError:
            // The addresses of one name mostly fail alike.
            guard let first = failure.connectionErrors.first else { return "no address of the server answers" }
            return self.reason(first.error)
        case let error as NIOSSLExtraError where error == .failedToValidateHostname:
            return KeySetFault.otherName.description
        case let error as HTTPClientError: return "the request failed: \(error.shortDescription)"
        default: return self.network.reason(error) ?? "\(type(of: error))"
        }
    }
}

import CulvertConfig
import CulvertCore
import CulvertSystem
package import NIOCore
import NIOPosix

/// The reason why a connection to a server failed.
package struct DialFailure: Error, Equatable, CustomStringConvertible {
    enum Cause: Equatable {
        /// The server's: it cannot be reached.
        case server
        /// The server's, or its name server's: no answer came in time.
        case timeout
        /// The edge's own: it lacks what a connection takes. It counts against no server.
        case edge
        /// The opening does not want the connection any more.
        case cancelled
    }

    var cause: Cause
    /// The reason, for the log.
    package var description: String

    static let cancelled = DialFailure(cause: .cancelled, description: "cancelled")
}

extension DialFailure {
    /// - Parameter time: how long there was for all of the dial.
    package init(_ error: any Error, host: String, within time: TimeAmount) {
        let text = ConfigUnits.text(time)
        switch error {
        case let failure as DialFailure: self = failure
        case NameFailure.cancelled: self = .cancelled
        case NameFailure.unknown(let why):
            self.init(cause: .server, description: "the name \(host) cannot be resolved: \(why)")
        case NameFailure.noAnswer:
            self.init(cause: .timeout, description: "the name \(host) is not resolved within \(text)")
        case NameFailure.notBegun:
            self.init(
                cause: .edge, description: "the name \(host) waited \(text) for look-ups of other names, which hang")
        case NameFailure.shortage(let what): self.init(cause: .edge, description: what)
        case ChannelError.connectTimeout:
            self.init(cause: .timeout, description: "no connection within \(text)")
        case let failure as NIOConnectionError:
            self.init(failure.connectionErrors.map(\.error), otherwise: error)
        default: self.init([error], otherwise: error)
        }
    }

    /// - Parameter errors: of each address that was tried.
    private init(_ errors: [any Error], otherwise error: any Error) {
        if let shortage = EdgeShortage.reason(errors.compactMap { ($0 as? IOError)?.errnoCode }) {
            self.init(cause: .edge, description: shortage)
        } else {
            let first = errors.first ?? error
            self.init(cause: .server, description: ConnectionFault.words(first))
        }
    }
}

/// An attempt to reach a server: looks up its name, then connects to its addresses (RFC 8305). Used once, on its loop.
///
/// NIO has no way to call off a connect. This closes the channels that are connecting instead.
final class ServerDial<Made: Sendable> {
    struct Connected: Sendable {
        var channel: any Channel
        /// The result of `configure` for this channel.
        var made: Made
    }

    private let loop: any EventLoop
    private let server: UpstreamServer
    private let resolver: NameResolver
    private let configure: (any Channel) throws -> Made
    private let promise: EventLoopPromise<Connected>
    private var time = TimeAmount.zero
    private var lookup: NameResolver.Lookup?
    /// Channels that are connecting, or have failed to.
    private var attempts: [Connected] = []
    private var isOver = false

    /// - Parameter configure: fills the pipeline of a channel that is about to connect; called for each address.
    init(
        _ server: UpstreamServer, resolver: NameResolver, on loop: any EventLoop,
        configure: @escaping (any Channel) throws -> Made
    ) {
        self.server = server
        self.resolver = resolver
        self.loop = loop
        self.configure = configure
        self.promise = loop.makePromise()
    }

    /// Fails with ``DialFailure``.
    ///
    /// - Parameter time: for the look-up and the connection together.
    func start(within time: TimeAmount) -> EventLoopFuture<Connected> {
        guard !self.isOver else { return self.promise.futureResult }
        self.time = time
        let deadline = NIODeadline.now() + time
        let lookup = self.resolver.addresses(
            of: self.server.host, port: self.server.port, until: deadline, on: self.loop)
        self.lookup = lookup
        lookup.addresses.assumeIsolated().whenComplete { result in
            self.lookup = nil
            switch result {
            case .success(let addresses): self.connect(to: addresses, until: deadline)
            case .failure(let error): self.fail(error)
            }
        }
        return self.promise.futureResult
    }

    /// The opening does not want the connection any more: the look-up or the connects end at once.
    func cancel() { self.fail(DialFailure.cancelled) }

    private func connect(to addresses: [SocketAddress], until deadline: NIODeadline) {
        guard !self.isOver else { return }
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        let bootstrap = ClientBootstrap(group: self.loop)
            .connectTimeout(max(deadline - .now(), .milliseconds(1)))
            .resolver(KnownAddresses(addresses, on: self.loop))
            // NIO keeps a buffer for each read of a turn, as large as it once was, until the connection is closed.
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.recvAllocator, value: ConnectionReads.allocator)
            .channelOption(.allowRemoteHalfClosure, value: false)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try bound.value.prepare(channel) }
            }
        let connecting =
            if addresses.count == 1 {
                bootstrap.connect(to: addresses[0])
            } else {
                bootstrap.connect(host: self.server.host, port: self.server.port)
            }
        connecting.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let channel): self.connected(channel)
            case .failure(let error): self.fail(error)
            }
        }
    }

    private func prepare(_ channel: any Channel) throws {
        guard !self.isOver else { throw DialFailure.cancelled }
        try DescriptorBudget.process.checkUpstream()
        self.attempts.append(Connected(channel: channel, made: try self.configure(channel)))
    }

    private func connected(_ channel: any Channel) {
        guard !self.isOver, let chosen = self.attempts.first(where: { $0.channel === channel }) else {
            channel.close(promise: nil)
            return
        }
        self.end(.success(chosen))
    }

    private func fail(_ error: any Error) {
        self.end(.failure(DialFailure(error, host: self.server.host, within: self.time)))
    }

    private func end(_ result: Result<Connected, any Error>) {
        guard !self.isOver else { return }
        self.isOver = true
        self.lookup?.cancel()
        self.lookup = nil
        let chosen = try? result.get().channel
        for attempt in self.attempts where attempt.channel !== chosen { attempt.channel.close(promise: nil) }
        self.attempts = []
        self.promise.completeWith(result)
    }
}

import CulvertConfig
import CulvertCore
import Glibc
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import CulvertEdge

/// Look-ups that take until the test lets them go.
private final class Gate: Sendable {
    private let state = Mutex<(isOpen: Bool, asked: [String])>((false, []))

    var asked: [String] { self.state.withLock(\.asked) }

    func open() { self.state.withLock { $0.isOpen = true } }

    func pass(_ name: String) {
        self.state.withLock { $0.asked.append(name) }
        while !self.state.withLock(\.isOpen) { usleep(1000) }
    }
}

@Suite("Name resolver")
struct NameResolverTests {
    private static let loop = MultiThreadedEventLoopGroup.singleton.any()

    private static func address(_ text: String) throws -> SocketAddress { try SocketAddress(ipAddress: text, port: 0) }

    private static func failure(_ resolver: NameResolver, _ host: String, within time: TimeAmount) async -> NameFailure? {
        do {
            _ = try await resolver.addresses(of: host, port: 1, until: .now() + time)
            return nil
        } catch {
            return error as? NameFailure
        }
    }

    @Test("An address is looked up nowhere", arguments: ["192.0.2.1", "::1", "2001:db8::5"])
    func literals(text: String) async throws {
        let resolver = NameResolver { _ in .failure(.unknown("asked")) }
        let found = try await resolver.addresses(of: text, port: 80, until: .now())
        #expect(try found == [SocketAddress(ipAddress: text, port: 80)])
    }

    @Test("Addresses have the port that was asked for, and there are no more than a dial can try")
    func ports() async throws {
        let many = try (1...50).map { try Self.address("192.0.2.\($0)") }
        let resolver = NameResolver { _ in .success(many) }
        let found = try await resolver.addresses(of: "a.test", port: 81, until: .now() + .seconds(30))
        #expect(found.count == NameResolver.addressLimit)
        #expect(try found.first == SocketAddress(ipAddress: "192.0.2.1", port: 81))
    }

    @Test("Who asks while a look-up runs shares it, each with its own deadline")
    func shares() async throws {
        let gate = Gate()
        let answer = try Self.address("192.0.2.1")
        let resolver = NameResolver { name in
            gate.pass(name)
            return .success([answer])
        }
        #expect(await Self.failure(resolver, "a.test", within: .milliseconds(50)) == .noAnswer)
        #expect(await Self.failure(resolver, "a.test", within: .milliseconds(50)) == .noAnswer)
        async let found = resolver.addresses(of: "a.test", port: 5, until: .now() + .seconds(60))
        // Other names are answered meanwhile, here by the same gate: they are asked, at least.
        #expect(await Self.failure(resolver, "b.test", within: .milliseconds(50)) == .noAnswer)
        #expect(gate.asked.filter { $0 == "a.test" }.count == 1 && gate.asked.contains("b.test"))
        gate.open()
        #expect(try await found == [SocketAddress(ipAddress: "192.0.2.1", port: 5)])
    }

    @Test("A look-up that has not begun is told from one that has no answer")
    func line() async throws {
        let gate = Gate()
        var bounds = NameLookups<EventLoopPromise<[SocketAddress]>>.Bounds()
        bounds.all = 1
        let answer = try Self.address("192.0.2.1")
        let resolver = NameResolver(bounds: bounds) { name in
            gate.pass(name)
            return .success([answer])
        }
        #expect(await Self.failure(resolver, "a.test", within: .milliseconds(50)) == .noAnswer)
        #expect(await Self.failure(resolver, "b.test", within: .milliseconds(50)) == .notBegun)
        gate.open()
        #expect(await Self.failure(resolver, "b.test", within: .seconds(60)) == nil)
    }

    @Test("A look-up that is called off fails at once")
    func cancels() async throws {
        let gate = Gate()
        let resolver = NameResolver { name in
            gate.pass(name)
            return .failure(.unknown("late"))
        }
        let loop = Self.loop
        let future = loop.flatSubmit {
            let lookup = resolver.addresses(of: "a.test", port: 1, until: .now() + .hours(1), on: loop)
            lookup.cancel()
            return lookup.addresses
        }
        await #expect(throws: NameFailure.cancelled) { try await future.get() }
        gate.open()
    }

    @Test("The system's resolver is asked, and its refusal is a refusal")
    func system() async throws {
        let found = try await NameResolver.system.addresses(of: "localhost", port: 7, until: .now() + .seconds(60))
        #expect(!found.isEmpty && found.allSatisfy { $0.port == 7 && ["127.0.0.1", "::1"].contains($0.ipAddress) })
        let failure = await Self.failure(.system, "no such name", within: .seconds(60))
        guard case .unknown = failure else {
            Issue.record("\(String(describing: failure))")
            return
        }
    }
}

@Suite("Whose fault a failed dial is")
struct DialFailureTests {
    private static func error(_ code: CInt) -> any Error { IOError(errnoCode: code, reason: "connect") }

    @Test(
        "What the edge lacks counts against no server",
        arguments: [
            ([EMFILE], true), ([ENFILE], true), ([ENOMEM], true), ([ENOBUFS], true), ([EADDRNOTAVAIL], true),
            ([ECONNREFUSED, EMFILE], true), ([EADDRNOTAVAIL, ENETUNREACH], true), ([EAFNOSUPPORT, EADDRNOTAVAIL], true),
            // A machine without IPv6, and a server that is down: `localhost` is both addresses.
            ([EADDRNOTAVAIL, ECONNREFUSED], false), ([ECONNREFUSED], false), ([ETIMEDOUT], false), ([ENETUNREACH], false),
            ([EHOSTUNREACH, EADDRNOTAVAIL], false), ([], false),
        ] as [([CInt], Bool)])
    func shortage(codes: [CInt], isShortage: Bool) {
        #expect((EdgeShortage.reason(codes) != nil) == isShortage)
    }

    @Test("Causes by error")
    func causes() {
        func cause(_ error: any Error) -> DialFailure.Cause {
            DialFailure(error, host: "a.test", within: .seconds(2)).cause
        }
        #expect(cause(Self.error(ECONNREFUSED)) == .server)
        #expect(cause(Self.error(EMFILE)) == .edge)
        #expect(cause(ChannelError.connectTimeout(.seconds(1))) == .timeout)
        #expect(cause(NameFailure.unknown("no")) == .server)
        #expect(cause(NameFailure.noAnswer) == .timeout)
        #expect(cause(NameFailure.notBegun) == .edge)
        #expect(cause(NameFailure.shortage("of threads")) == .edge)
        #expect(cause(NameFailure.cancelled) == .cancelled)
        #expect(cause(CancellationError()) == .server)
    }

    @Test("The log says what happened")
    func words() {
        let failure = DialFailure(NameFailure.noAnswer, host: "a.test", within: .seconds(2))
        #expect("\(failure)" == "the name a.test is not resolved within 2s")
        #expect("\(DialFailure(Self.error(EMFILE), host: "a", within: .zero))".hasPrefix("out of file descriptors: the process may have "))
        #expect(EdgeShortage.ofDescriptors() == nil)
    }
}

@Suite("A dial to a server")
struct ServerDialTests {
    private static let loop = MultiThreadedEventLoopGroup.singleton.any()

    private static func dial(
        port: Int, resolver: NameResolver, _ body: @escaping @Sendable (ServerDial<Int>) -> EventLoopFuture<ServerDial<Int>.Connected>
    ) async throws -> ServerDial<Int>.Connected {
        let server = UpstreamServer(isSecure: false, host: "a.test", port: port, pathPrefix: "")
        let loop = self.loop
        return try await loop.flatSubmit {
            var made = 0
            return body(
                ServerDial(server, resolver: resolver, on: loop) { _ in
                    made += 1
                    return made
                })
        }.get()
    }

    @Test("Of several addresses one that accepts is found")
    func addresses() async throws {
        let listener = try await ServerBootstrap(group: Self.loop).bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(listener.localAddress?.port)
        let resolver = try NameResolver.fixed(["127.0.0.2", "127.0.0.1"])
        let connected = try await Self.dial(port: port, resolver: resolver) { $0.start(within: .seconds(60)) }
        #expect(connected.channel.remoteAddress?.ipAddress == "127.0.0.1" && connected.made == 2)
        try await connected.channel.close().get()
        try await listener.close().get()
    }

    @Test("A dial that is called off before it began, or while it connects, fails at once")
    func cancels() async throws {
        let resolver = try NameResolver.fixed(["192.0.2.1", "192.0.2.2"])
        await #expect(throws: DialFailure.cancelled) {
            try await Self.dial(port: 1, resolver: resolver) { dial in
                dial.cancel()
                return dial.start(within: .hours(1))
            }
        }
        await #expect(throws: DialFailure.cancelled) {
            try await Self.dial(port: 1, resolver: resolver) { dial in
                let future = dial.start(within: .hours(1))
                dial.cancel()
                return future
            }
        }
    }
}

extension NameResolver {
    fileprivate static func fixed(_ addresses: [String]) throws -> NameResolver {
        let addresses = try addresses.map { try SocketAddress(ipAddress: $0, port: 0) }
        return NameResolver { _ in .success(addresses) }
    }
}

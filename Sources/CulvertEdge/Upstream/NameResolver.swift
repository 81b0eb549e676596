import CulvertCore
import Glibc
package import NIOCore
import NIOPosix
import Synchronization

/// Why the addresses of a name are not known.
enum NameFailure: Error, Equatable {
    /// The system's resolver says so.
    case unknown(String)
    /// The resolver had not answered in time.
    case noAnswer
    /// The look-up waited in Culvert's own line, behind those of other names, and had not begun in time.
    case notBegun
    /// This machine lacks what a look-up takes.
    case shortage(String)
    case cancelled
}

/// Looks names up for all event loops, each on a thread of its own: a name that does not answer holds up no other.
///
/// Which look-ups run is decided by ``NameLookups``. Answers are shared by all who ask while the look-up runs, and are
/// not kept: who a name belongs to is asked again for each session.
package final class NameResolver: Sendable {
    /// The resolver of the process: the bounds on threads are for all look-ups together.
    package static let system = NameResolver(lookUp: NameResolver.askSystem)

    typealias Answer = Result<[SocketAddress], NameFailure>

    /// Under way, or done; the addresses have the port that was asked for.
    struct Lookup {
        let addresses: EventLoopFuture<[SocketAddress]>
        /// The caller gives the look-up up: it fails with ``NameFailure/cancelled`` if it was not done.
        let cancel: () -> Void
    }

    /// Most addresses of a name that are used. Each one costs an attempt to connect.
    static let addressLimit = 16

    private let lookUp: @Sendable (String) -> Answer
    private let lookups: Mutex<NameLookups<EventLoopPromise<[SocketAddress]>>>

    /// - Parameter lookUp: blocks until it knows.
    init(
        bounds: NameLookups<EventLoopPromise<[SocketAddress]>>.Bounds = .init(),
        lookUp: @escaping @Sendable (String) -> Answer
    ) {
        self.lookUp = lookUp
        self.lookups = Mutex(NameLookups(bounds: bounds))
    }

    /// Fails with ``NameFailure``, at the latest at `deadline`. To be called on `loop`.
    ///
    /// - Parameter host: a name or an address; the latter is looked up nowhere.
    func addresses(of host: String, port: Int, until deadline: NIODeadline, on loop: any EventLoop) -> Lookup {
        if let address = try? SocketAddress(ipAddress: host, port: port) {
            return Lookup(addresses: loop.makeSucceededFuture([address])) {}
        }
        let promise = loop.makePromise(of: [SocketAddress].self)
        let (ticket, begins) = self.lookups.withLock { $0.ask(host, for: promise, now: .now()) }
        let timeout = loop.scheduleTask(deadline: deadline) { self.leave(ticket, atDeadline: true) }
        promise.futureResult.whenComplete { _ in timeout.cancel() }
        if begins { self.begin([host]) }
        let addresses = promise.futureResult.map { addresses in
            addresses.prefix(Self.addressLimit).map { address in
                var address = address
                address.port = port
                return address
            }
        }
        return Lookup(addresses: addresses) { self.leave(ticket, atDeadline: false) }
    }

    /// The addresses of a host, for the control plane.
    package func addresses(of host: String, port: Int, until deadline: NIODeadline) async throws -> [SocketAddress] {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        return try await loop.flatSubmit {
            self.addresses(of: host, port: port, until: deadline, on: loop).addresses
        }.get()
    }

    private func leave(_ ticket: NameLookups<EventLoopPromise<[SocketAddress]>>.Ticket, atDeadline: Bool) {
        guard let (promise, hasBegun) = self.lookups.withLock({ $0.leave(ticket) }) else { return }
        promise.fail(atDeadline ? (hasBegun ? NameFailure.noAnswer : .notBegun) : .cancelled)
    }

    private func begin(_ names: [String]) {
        var names = names
        while let name = names.popLast() {
            let hasThread = DetachedThread.run { self.begin(self.end(name, self.lookUp(name), hasAnswered: true)) }
            if !hasThread {
                let answer = Answer.failure(.shortage("the system gives no thread for a look-up"))
                names += self.end(name, answer, hasAnswered: false)
            }
        }
    }

    /// - Returns: the names whose look-ups are to begin.
    private func end(_ name: String, _ answer: Answer, hasAnswered: Bool) -> [String] {
        let (waiters, begin) = self.lookups.withLock { $0.ended(name, hasAnswered: hasAnswered, now: .now()) }
        for waiter in waiters { waiter.completeWith(answer.mapError { $0 as any Error }) }
        return begin
    }

    // MARK: - the system

    private static func askSystem(_ name: String) -> Answer {
        var hint = addrinfo()
        hint.ai_socktype = CInt(SOCK_STREAM.rawValue)
        hint.ai_protocol = CInt(IPPROTO_TCP)
        var first: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, nil, &hint, &first)
        let systemCode = code == EAI_SYSTEM ? errno : 0
        guard code == 0 else {
            // Without a descriptor the resolver reads neither its files nor the network, and answers that the name does
            // not exist.
            if code == EAI_MEMORY { return .failure(.shortage("out of memory for a look-up")) }
            if let shortage = EdgeShortage.reason([systemCode]) ?? EdgeShortage.ofDescriptors() {
                return .failure(.shortage(shortage))
            }
            let why = code == EAI_SYSTEM ? String(cString: strerror(systemCode)) : String(cString: gai_strerror(code))
            return .failure(.unknown(why))
        }
        defer { freeaddrinfo(first) }
        var addresses: [SocketAddress] = []
        var next = first
        while let info = next?.pointee {
            next = info.ai_next
            guard let address = info.ai_addr else { continue }
            let raw = UnsafeRawPointer(address)
            switch info.ai_family {
            case AF_INET: addresses.append(SocketAddress(raw.load(as: sockaddr_in.self), host: name))
            case AF_INET6: addresses.append(SocketAddress(raw.load(as: sockaddr_in6.self), host: name))
            default: continue
            }
        }
        return addresses.isEmpty ? .failure(.unknown("no address")) : .success(addresses)
    }
}

/// Gives the connector of NIO, which tries addresses side by side (RFC 8305), what is known already.
struct KnownAddresses: Resolver, Sendable {
    private let addresses: [SocketAddress]
    private let loop: any EventLoop

    init(_ addresses: [SocketAddress], on loop: any EventLoop) {
        self.addresses = addresses
        self.loop = loop
    }

    func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
        self.loop.makeSucceededFuture(self.addresses.filter { $0.protocol == .inet })
    }

    func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
        self.loop.makeSucceededFuture(self.addresses.filter { $0.protocol == .inet6 })
    }

    func cancelQueries() {}
}

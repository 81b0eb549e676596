import CulvertConfig
import CulvertCore
import Glibc
import NIOCore
import NIOPosix
import NIOSSL

/// A listener that could not be opened. The text begins with its place in the configuration, as in `culvert check`.
package struct ListenerFault: Error, CustomStringConvertible {
    package var description: String
}

/// An open entry of `listen:`, with a socket for each event loop.
struct EdgeListener: Sendable {
    /// The number by which event loops find the listener's mode.
    let id: Int
    var config: ListenConfig
    /// The address that is bound. With port 0 in the configuration the system has chosen the port.
    let address: SocketAddress
    let channels: [any Channel]
    /// The descriptors of `channels`, valid for as long as these are open.
    let descriptors: [CInt]

    /// Opens the sockets. No client can connect before ``accept(_:id:on:edge:)``, unless the sockets listened already.
    ///
    /// - Parameters:
    ///   - index: of the entry in `listen`.
    ///   - ports: of listeners that are open in this process.
    static func open(
        _ index: Int, of whole: ProxyConfig, loops: Int, ports: Set<Int>, inherited: inout InheritedSockets
    ) throws -> [CInt] {
        let config = whole.listen[index]
        do {
            let address = try SocketAddress.makeAddressResolvingHost(config.host, port: config.port)
            let given = try inherited.take(name: config.address, address: address)
            if !given.isEmpty { return try ListeningSocket.adopt(given) }
            return try ListeningSocket.open(address, count: loops, isOurs: ports.contains(config.port))
        } catch {
            let reason = "\(config.address): \(BindFault.words(error))"
            throw ListenerFault(description: whole.places.text("listen[\(index)].address", reason))
        }
    }

    /// The descriptors are taken, whatever comes of it.
    static func accept(
        _ config: ListenConfig, id: Int, on descriptors: [CInt], edge: EdgeContext
    ) async throws -> EdgeListener {
        var channels: [any Channel] = []
        var given = 0
        do {
            for (index, descriptor) in descriptors.enumerated() {
                // NIO closes it, if anything goes wrong with it.
                given += 1
                let loop = edge.loops[index % edge.loops.count].eventLoop
                // There may be only one socket, if it was handed over. Two loops must not accept from it: the kernel
                // wakes both for one connection, and NIO treats it as a fault that the second finds none.
                let children: any EventLoopGroup = descriptors.count < edge.loops.count ? edge.group : loop
                channels.append(try await self.accept(on: descriptor, id: id, edge: edge, loop, children))
                // NIO asks for a queue of 128.
                try ListeningSocket.listen(descriptor)
            }
        } catch {
            for channel in channels { channel.close(promise: nil) }
            for descriptor in descriptors.dropFirst(given) { Glibc.close(descriptor) }
            throw error
        }
        guard let address = channels.first?.localAddress else {
            throw ListenerFault(description: "listener \(config.address): no socket")
        }
        return EdgeListener(id: id, config: config, address: address, channels: channels, descriptors: descriptors)
    }

    /// Registers a listening socket on `loop`, with its connections on the loops of `children`.
    private static func accept(
        on descriptor: CInt, id: Int, edge: EdgeContext, _ loop: any EventLoop, _ children: any EventLoopGroup
    ) async throws -> any Channel {
        let high = max(64 * 1024, min(edge.rules.settings.buffer, 512 * 1024))
        return try await ServerBootstrap(group: loop, childGroup: children)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let gate = AcceptGate(.clients, watch: edge.accepts) { edge.makeRoomForClients() }
                    try channel.pipeline.syncOperations.addHandler(gate)
                }
            }
            .serverChannelOption(.maxMessagesPerRead, value: AcceptGate.connectionsPerTurn)
            // NIO sets TCP_NODELAY for the listener, and connections have it from there (tcp(7)).
            .childChannelOption(.writeBufferWaterMark, value: .init(low: high / 4, high: high))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try edge.accepts.accepted(channel)
                    // A listener that a reload is closing has no mode any more.
                    guard let state = edge.state(of: channel.eventLoop), let mode = state.listeners[id] else {
                        throw ChannelError.inappropriateOperationForState
                    }
                    try ClientPipeline.configure(channel, mode: mode, edge: edge, state: state)
                }
            }
            .withBoundSocket(descriptor).get()
    }

    func close() async {
        for channel in self.channels { try? await channel.close().get() }
    }
}

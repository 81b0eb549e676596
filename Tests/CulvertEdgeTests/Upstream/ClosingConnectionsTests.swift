import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

@Suite("Connections to servers that end")
struct ClosingConnectionsTests {
    /// A peer that does not answer the first request to close, as TLS has it.
    private final class Patient: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        private(set) var closes = 0

        func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
            self.closes += 1
            if self.closes > 1 { context.close(mode: mode, promise: promise) }
        }
    }

    private static func connection(on loop: EmbeddedEventLoop) throws -> (EmbeddedChannel, Patient) {
        let patient = Patient()
        let channel = EmbeddedChannel(handler: patient, loop: loop)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        return (channel, patient)
    }

    @Test("A server that does not answer is waited for until the deadline")
    func deadline() throws {
        let closing = ClosingConnections()
        let loop = EmbeddedEventLoop()
        let (channel, patient) = try Self.connection(on: loop)
        closing.close(channel)
        #expect(channel.isActive && closing.waiting == 1)
        loop.advanceTime(by: ClosingConnections.time - .milliseconds(1))
        #expect(channel.isActive && patient.closes == 1)
        loop.advanceTime(by: .milliseconds(2))
        loop.run()
        #expect(!channel.isActive && patient.closes == 2 && closing.waiting == 0)
    }

    @Test("No more wait than may, whatever their number")
    func bound() throws {
        let closing = ClosingConnections()
        let loop = EmbeddedEventLoop()
        var channels: [EmbeddedChannel] = []
        for _ in 0..<ClosingConnections.most {
            let (channel, _) = try Self.connection(on: loop)
            closing.close(channel)
            channels.append(channel)
        }
        #expect(closing.waiting == ClosingConnections.most && channels.allSatisfy(\.isActive))
        // Cut: one more close is asked for, and no deadline is set.
        let (channel, patient) = try Self.connection(on: loop)
        closing.close(channel)
        #expect(patient.closes == 1 && closing.waiting == ClosingConnections.most)
        loop.advanceTime(by: ClosingConnections.time)
        loop.run()
        #expect(closing.waiting == 0 && !channels.contains(where: \.isActive))
        #expect(patient.closes == 1)
    }
}

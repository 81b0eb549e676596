import NIOCore
import NIOPosix
import Testing

@testable import CulvertServer

/// On a loop with a real clock and real sockets.
@Suite("Work of a loop in slices")
struct LoopSliceTests {
    private static let pieces = 60

    /// Sends a byte back and forth on its loop, and counts.
    private final class Pong: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private(set) var count = 0

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.count += 1
            context.writeAndFlush(data, promise: nil)
        }
    }

    private static func work() {
        let end = NIODeadline.now() + .microseconds(500)
        while NIODeadline.now() < end {}
    }

    /// - Parameter begin: begins ``pieces`` pieces of ``work()``, and calls the closure behind the last.
    /// - Returns: how often a socket of the same loop was read until then.
    private func reads(during begin: @escaping @Sendable (any EventLoop, @escaping () -> Void) -> Void) async throws -> Int {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.any()
        let server = try await ServerBootstrap(group: loop)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Pong()) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let client = try await ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Pong()) }
            }
            .connect(to: server.localAddress!).get()
        try await client.writeAndFlush(ByteBuffer(string: "x"))
        let count = try await loop.flatSubmit {
            let done = loop.makePromise(of: Int.self)
            do {
                let pong = try client.pipeline.syncOperations.handler(type: Pong.self)
                let before = pong.count
                begin(loop) { done.succeed(pong.count - before) }
            } catch {
                done.fail(error)
            }
            return done.futureResult
        }.get()
        try await group.shutdownGracefully()
        return count
    }

    @Test("Attack: work that enqueues its rest leaves the sockets their turn after each slice")
    func slices() async throws {
        let reads = try await self.reads { loop, done in
            let slices = LoopSlices(loop: loop)
            var left = Self.pieces
            slices.repeatWhile {
                Self.work()
                left -= 1
                if left == 0 { withExtendedLifetime(slices, done) }
                return left > 0
            }
        }
        print("tried \(Self.pieces) pieces of 0.5 ms: a socket was read \(reads) times between them")
        #expect(reads >= Self.pieces / 4)
    }

    @Test("Attack: thousands of timers that are due at once leave the sockets their turn")
    func timers() async throws {
        let reads = try await self.reads { loop, done in
            let timers = LoopTimers(loop: loop, slices: LoopSlices(loop: loop))
            let due = NIODeadline.now() + .milliseconds(5)
            var left = Self.pieces
            for _ in 0..<Self.pieces {
                _ = timers.schedule(at: due) {
                    Self.work()
                    left -= 1
                    if left == 0 { withExtendedLifetime(timers, done) }
                }
            }
        }
        print("tried \(Self.pieces) timers of 0.5 ms: a socket was read \(reads) times between them")
        #expect(reads >= Self.pieces / 4)
    }
}

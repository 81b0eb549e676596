import CulvertConfig
import CulvertCore
import NIOCore
import NIOSSL

/// The TLS of one listener: what a connection is spoken to with.
///
/// BoringSSL follows the client's order of suites and of groups unless an option is set that NIOSSL does not offer.
/// Therefore there is a context for each family of suites, and contexts with the groups that cost little alone; the
/// client's first message decides which of them it meets.
package struct ServerTLS: Sendable {
    /// A context for each of ``CipherOrder/families``; empty without TLS 1.2. Their groups cost little.
    private let byFamily: [NIOSSLContext]
    /// All suites, with the groups that cost little.
    private let quick: NIOSSLContext
    /// All suites and groups.
    private let all: NIOSSLContext
    /// The policy that each answer tells browsers; nil for none.
    let hsts: StrictTransport?

    init(_ configuration: TLSConfiguration, hsts: StrictTransport?) throws {
        var configuration = configuration
        self.hsts = hsts
        configuration.cipherSuites = CipherOrder.names
        configuration.curves = KeyGroups.all.map { NIOTLSCurve(rawValue: $0) }
        self.all = try NIOSSLContext(configuration: configuration)
        configuration.curves = KeyGroups.quick.map { NIOTLSCurve(rawValue: $0) }
        self.quick = try NIOSSLContext(configuration: configuration)
        guard configuration.minimumTLSVersion != .tlsv13 else {
            self.byFamily = []
            return
        }
        self.byFamily = try CipherOrder.families.map { family in
            configuration.cipherSuites = family.names
            return try NIOSSLContext(configuration: configuration)
        }
    }

    /// - Parameter hello: the client's first message; nil where it has sent none.
    func context(for hello: ClientHello?) -> NIOSSLContext {
        guard let hello, hello.offersQuickGroup else { return self.all }
        guard let choice = CipherOrder.choice(hello.suites), choice < self.byFamily.count else { return self.quick }
        return self.byFamily[choice]
    }

    /// Adds what reads the client's first message and then becomes TLS, and what feeds TLS.
    ///
    /// - Parameters:
    ///   - observer: is added behind them.
    ///   - line: in which the steps of the handshake wait.
    ///   - memory: counts the bytes that wait for TLS.
    /// - Returns: what feeds TLS.
    func addHandlers(
        before observer: any RecordObserver, to pipeline: ChannelPipeline.SynchronousOperations, turns: TLSTurns,
        line: LoopSlices.Line, memory: SessionMemory
    ) throws -> TLSFeeder {
        let feeder = TLSFeeder(turns, line: line, memory: memory, observer: observer)
        try pipeline.addHandler(feeder)
        try pipeline.addHandler(ClientHelloHandler(self))
        try pipeline.addHandler(HandshakeEnd(feeder))
        return feeder
    }
}

/// Stands where TLS will: reads the client's first message, puts TLS in its own place with what the message asks for,
/// and leaves. A client that asks for no protocol that is spoken here is refused (RFC 7301 3.2), which NIOSSL does not
/// do.
final class ClientHelloHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// A fatal alert, no_application_protocol (RFC 7301 3.2), in a record of its own (RFC 8446 5.1).
    private static let refusal: [UInt8] = [21, 3, 3, 0, 2, 2, 120]
    /// Most bytes that are read of a client that was refused.
    private static let mostDropped = 64 * 1024

    private let tls: ServerTLS
    private var reader = ClientHelloReader()
    private var isRefused = false
    private var dropped = 0

    init(_ tls: ServerTLS) { self.tls = tls }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        guard !self.isRefused else {
            self.dropped += bytes.readableBytes
            if self.dropped > Self.mostDropped { context.channel.cut() }
            return
        }
        guard case .done(let hello) = self.reader.read(bytes) else { return }
        if hello?.lacksProtocol == true {
            self.refuse(context)
        } else {
            self.begin(hello, context)
        }
    }

    /// The handlers behind TLS have received nothing yet, so this event stops here.
    func channelReadComplete(context: ChannelHandlerContext) {}

    private func begin(_ hello: ClientHello?, _ context: ChannelHandlerContext) {
        let pipeline = context.pipeline.syncOperations
        let handler = NIOSSLServerHandler(context: self.tls.context(for: hello), configuration: .small)
        do {
            try pipeline.addHandler(handler, position: .after(self))
        } catch {
            context.close(promise: nil)
            return
        }
        context.fireChannelRead(self.wrapInboundOut(self.reader.takeAll()))
        context.fireChannelReadComplete()
        pipeline.removeHandler(context: context, promise: nil)
    }

    /// Ends our direction behind the alert, so that no reset overtakes it, and closes with the client.
    private func refuse(_ context: ChannelHandlerContext) {
        self.isRefused = true
        _ = self.reader.takeAll()
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(bytes: Self.refusal)), promise: nil)
        context.close(mode: .output, promise: nil)
        let channel = context.channel
        let deadline = context.eventLoop.scheduleTask(in: TLSContexts.shutdownTimeout) { channel.cut() }
        channel.closeFuture.whenComplete { _ in deadline.cancel() }
    }
}

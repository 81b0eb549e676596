import CulvertDemo
import NIOCore
import NIOPosix

enum DemoOpcode: UInt8, Sendable {
    case continuation = 0
    case text = 1
    case binary = 2
    case unknown = 3
    case close = 8
    case ping = 9
    case pong = 10
}

struct DemoFrame: Equatable, Sendable {
    var opcode: DemoOpcode
    var payload: [UInt8]

    init(_ opcode: DemoOpcode, _ payload: [UInt8]) {
        self.opcode = opcode
        self.payload = payload
    }

    var closeCode: UInt16? {
        guard opcode == .close, payload.count >= 2 else { return nil }
        return UInt16(payload[0]) << 8 | UInt16(payload[1])
    }
}

/// A WebSocket client made by hand: it shares no code with the server it tests.
final class DemoClient {
    struct Surprise: Error { var what: String }

    private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var buffer = ByteBuffer()

    private init(
        _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>,
        _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) {
        self.inbound = inbound.makeAsyncIterator()
        self.outbound = outbound
    }

    /// Connects, runs `body` and closes.
    static func open(port: Int, _ body: (DemoClient) async throws -> Void) async throws {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        try await channel.executeThenClose { inbound, outbound in
            try await body(DemoClient(inbound, outbound))
        }
    }

    /// Connects, shakes hands for `target`, runs `body` and closes.
    static func connect(
        to backend: DemoBackend,
        _ target: String,
        user: String? = nil,
        _ body: (DemoClient) async throws -> Void
    ) async throws {
        try await open(port: backend.port) { client in
            var request = "GET \(target) HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            // The key and the answer to it are the example of RFC 6455, 1.3.
            request += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            if let user { request += "X-Forwarded-User: \(user)\r\n" }
            try await client.write(request + "\r\n")
            let head = try await client.head()
            guard head.hasPrefix("HTTP/1.1 101 "), head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") else {
                throw Surprise(what: head)
            }
            try await body(client)
        }
    }

    func write(_ text: String) async throws {
        try await outbound.write(ByteBuffer(string: text))
    }

    func send(
        _ opcode: DemoOpcode,
        _ payload: [UInt8],
        fin: Bool = true,
        masked: Bool = true,
        reserved: UInt8 = 0
    ) async throws {
        let maskBit: UInt8 = masked ? 0x80 : 0
        let mask: [UInt8] = masked ? [0x12, 0x34, 0x56, 0x78] : [0, 0, 0, 0]
        var bytes = ByteBuffer()
        bytes.writeInteger((fin ? 0x80 : 0) | reserved | opcode.rawValue)
        switch payload.count {
        case ...125:
            bytes.writeInteger(maskBit | UInt8(payload.count))
        case ...65_535:
            bytes.writeInteger(maskBit | 126)
            bytes.writeInteger(UInt16(payload.count))
        default:
            bytes.writeInteger(maskBit | 127)
            bytes.writeInteger(UInt64(payload.count))
        }
        if masked { bytes.writeBytes(mask) }
        bytes.writeBytes(payload.enumerated().map { $1 ^ mask[$0 & 3] })
        try await outbound.write(bytes)
    }

    /// The head of an HTTP response, with the empty line at its end.
    func head() async throws -> String {
        var text = ""
        while !text.hasSuffix("\r\n\r\n") {
            guard try await fill(1), let byte = buffer.readBytes(length: 1) else {
                throw Surprise(what: "no whole head: \(text)")
            }
            text += String(decoding: byte, as: UTF8.self)
        }
        return text
    }

    /// The next frame, which must be whole and unmasked; nil at the end of the connection.
    func frame() async throws -> DemoFrame? {
        guard try await fill(2), let start = buffer.readBytes(length: 2) else { return nil }
        guard start[0] & 0xF0 == 0x80, let opcode = DemoOpcode(rawValue: start[0] & 0x0F), start[1] & 0x80 == 0 else {
            throw Surprise(what: "frame begins with \(start)")
        }
        var length = Int(start[1])
        if length == 126 {
            guard try await fill(2), let long = buffer.readInteger(as: UInt16.self) else { return nil }
            length = Int(long)
        } else if length == 127 {
            guard try await fill(8), let long = buffer.readInteger(as: UInt64.self) else { return nil }
            length = Int(long)
        }
        guard try await fill(length), let payload = buffer.readBytes(length: length) else { return nil }
        return DemoFrame(opcode, payload)
    }

    private func fill(_ count: Int) async throws -> Bool {
        while buffer.readableBytes < count {
            guard var part = try await inbound.next() else { return false }
            buffer.writeBuffer(&part)
        }
        return true
    }
}

package import NIOCore

/// The offers in a TLS client's first message that Culvert decides by (RFC 8446 4.1.2).
package struct ClientHello: Equatable, Sendable {
    /// The suites of ``CipherOrder`` that are offered, by their numbers.
    package var suites: Set<UInt16> = []
    /// The message has the extension ALPN.
    package var hasProtocols = false
    /// ALPN offers `http/1.1` or `http/1.0` (RFC 7301 6).
    package var offersHTTP1 = false
    /// A group of ``KeyGroups/quick`` is offered for the agreement on keys (RFC 8446 4.2.7).
    package var offersQuickGroup = false

    package init() {}

    /// The client asks for protocols, none of which is spoken here: the handshake must fail (RFC 7301 3.2).
    package var lacksProtocol: Bool { self.hasProtocols && !self.offersHTTP1 }
}

/// Takes the first message of a TLS client out of its records, in pieces of any size. Owned by the handler that stands
/// in the place of TLS until then.
package struct ClientHelloReader: Sendable {
    /// Most bytes that are kept. TLS takes no longer message; in records of a few bytes it takes no more either.
    package static let limit = 32 * 1024
    private static let longestMessage = 16 * 1024

    package enum Step: Equatable, Sendable {
        case needMore
        /// All bytes that have come go to TLS now. The message is nil where they are none: TLS knows what to answer.
        case done(ClientHello?)
    }

    /// All bytes that have come.
    private var held = ByteBuffer()
    /// The number of bytes of `held` that were looked at.
    private var at = 0
    /// Bytes of the record at hand that are to come.
    private var left = 0
    private var message = ByteBuffer()

    package init() {}

    /// Bytes have come from the socket.
    package mutating func read(_ bytes: ByteBuffer) -> Step {
        self.held.writeImmutableBuffer(bytes)
        while true {
            if self.left == 0 {
                guard let header = self.held.getBytes(at: self.held.readerIndex + self.at, length: 5) else {
                    return self.wait()
                }
                self.left = Int(header[3]) << 8 | Int(header[4])
                // A handshake's record, of any version that has this form; none is empty (RFC 8446 5.1).
                guard header[0] == 22, header[1] == 3, self.left > 0 else { return .done(nil) }
                self.at += 5
            }
            let count = min(self.left, self.held.readableBytes - self.at)
            guard count > 0, let part = self.held.getSlice(at: self.held.readerIndex + self.at, length: count) else {
                return self.wait()
            }
            self.message.writeImmutableBuffer(part)
            self.at += count
            self.left -= count
            guard let start: UInt32 = self.message.getInteger(at: self.message.readerIndex) else { continue }
            let length = Int(start & 0xFF_FFFF)
            // client_hello
            guard start >> 24 == 1, length <= Self.longestMessage else { return .done(nil) }
            guard self.message.readableBytes >= 4 + length else { continue }
            var body = self.message.getSlice(at: self.message.readerIndex + 4, length: length) ?? ByteBuffer()
            return .done(ClientHello(&body))
        }
    }

    /// All bytes that have come; they are not kept any more.
    package mutating func takeAll() -> ByteBuffer {
        defer { self = ClientHelloReader() }
        return self.held
    }

    private func wait() -> Step { self.held.readableBytes > Self.limit ? .done(nil) : .needMore }
}

extension ClientHello {
    /// - Returns: nil for what has not the form of the message.
    fileprivate init?(_ body: inout ByteBuffer) {
        self.init()
        // legacy_version and random
        guard body.readSlice(length: 34) != nil, body.readVector(UInt8.self) != nil,
            var suites = body.readVector(UInt16.self), body.readVector(UInt8.self) != nil
        else { return nil }
        while let suite: UInt16 = suites.readInteger() {
            if CipherOrder.all.contains(suite) { self.suites.insert(suite) }
        }
        // Before TLS 1.3 there may be no extensions at all.
        guard body.readableBytes > 0 else { return }
        guard var extensions = body.readVector(UInt16.self) else { return nil }
        while let type: UInt16 = extensions.readInteger() {
            guard var content = extensions.readVector(UInt16.self) else { return nil }
            switch type {
            case 10: guard self.readGroups(&content) else { return nil }
            case 16: guard self.readProtocols(&content) else { return nil }
            default: break
            }
        }
    }

    private mutating func readGroups(_ content: inout ByteBuffer) -> Bool {
        guard var groups = content.readVector(UInt16.self) else { return false }
        while let group: UInt16 = groups.readInteger() {
            if KeyGroups.quick.contains(group) { self.offersQuickGroup = true }
        }
        return true
    }

    private mutating func readProtocols(_ content: inout ByteBuffer) -> Bool {
        self.hasProtocols = true
        guard var names = content.readVector(UInt16.self) else { return false }
        while names.readableBytes > 0 {
            guard let name = names.readVector(UInt8.self) else { return false }
            let bytes = name.readableBytesView
            if bytes.elementsEqual("http/1.1".utf8) || bytes.elementsEqual("http/1.0".utf8) { self.offersHTTP1 = true }
        }
        return true
    }
}

extension ByteBuffer {
    /// A vector with its length in front (RFC 8446 3.4).
    fileprivate mutating func readVector<Length: FixedWidthInteger>(_ length: Length.Type) -> ByteBuffer? {
        guard let count: Length = self.readInteger() else { return nil }
        return self.readSlice(length: Int(count))
    }
}

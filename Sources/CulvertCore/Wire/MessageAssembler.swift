package import NIOCore

/// Whole, unmasked messages out of a peer's stream, for sessions that number and keep them.
///
/// No extension is negotiated on such a leg and text is always validated. Holds at most one message, one carried
/// control frame, the latest ping and what was appended last.
package struct MessageAssembler: Sendable {
    package enum Event: Equatable, Sendable {
        case needMore
        /// There are more frames than there was room for.
        case noRoom
        /// Text or binary, with its unmasked payload.
        case message(Opcode, ByteBuffer)
        /// Close, ping or pong, with its unmasked payload. Only a Close where the assembler keeps pings.
        case control(Opcode, ByteBuffer)
        case violation(CloseCode, String)
    }

    private var scanner: FrameScanner
    /// Received, not yet taken apart.
    private var input = ByteBuffer()
    /// Unmasked fragments of the current message.
    private var message = ByteBuffer()
    private var opcode = Opcode.binary
    private var remaining = 0
    private var mask: UInt32 = 0
    private var isFinal = true
    private var failure: (CloseCode, String)?

    /// Whether a message may come in fragments.
    private let allowsFragments: Bool
    private let keepsPings: Bool
    /// Only a Close is of interest: payloads are passed over.
    private var isSkimming = false
    /// The payload of the latest ping, still masked with ``latestPingMask``.
    private var latestPing: ByteBuffer?
    private var latestPingMask: UInt32 = 0

    /// - Parameter keepsPings: pings and pongs are counted and passed over instead of given out, and the latest ping is
    ///   kept for ``takePing()``.
    package init(
        sender: Endpoint, messageLimit: Int, allowsFragments: Bool = true, fragmentLimit: Int? = nil,
        keepsPings: Bool = false
    ) {
        self.allowsFragments = allowsFragments
        self.keepsPings = keepsPings
        self.scanner = FrameScanner(
            sender: sender, messageLimit: messageLimit, allowedRSV: 0, validateText: false,
            fragmentLimit: fragmentLimit)
    }

    /// Bytes of what has not been given out yet.
    package var heldBytes: Int { self.input.readableBytes + self.message.readableBytes }

    /// Bytes of the buffers in which they are.
    package var heldCapacity: Int { self.input.storageCapacity + self.message.storageCapacity }

    /// Payload bytes of data frames that have come, of messages that are not whole, too.
    package private(set) var payloadBytes: UInt64 = 0

    /// Pings, pongs and empty fragments that were taken apart.
    package var controls: ControlCount { self.scanner.controls }

    /// The unmasked payload of the latest ping since the last call.
    package mutating func takePing() -> ByteBuffer? {
        guard let ping = self.latestPing else { return nil }
        self.latestPing = nil
        // A copy: a ping that waits for its answer must not keep the buffer it was read in.
        var payload = ByteBuffer(bytes: ping.readableBytesView)
        if self.latestPingMask != 0 {
            FrameWriter.toggle(
                &payload, from: payload.readerIndex, count: payload.readableBytes, mask: self.latestPingMask)
        }
        return payload
    }

    /// True if no frame or message has begun.
    package var isIdle: Bool { self.input.readableBytes == 0 && self.remaining == 0 && self.scanner.isBetweenMessages }

    package mutating func append(_ bytes: ByteBuffer) {
        if self.failure != nil { return }
        if self.input.readableBytes == 0 {
            self.input = bytes
        } else {
            self.input.discardReadBytes()
            self.input.writeImmutableBuffer(bytes)
        }
    }

    /// - Parameter room: frames that may still be taken apart. Each costs as much as some bytes do, whatever is in it,
    ///   and a message may have any number of them.
    package mutating func next(room: inout Int) -> Event {
        if let (code, why) = self.failure { return .violation(code, why) }
        while true {
            if self.remaining > 0 {
                self.takePayload()
                if self.remaining > 0 { return self.starve() }
                if let event = self.endFrame() { return event }
            }
            guard self.input.readableBytes > 0 else { return self.starve() }
            guard room > 0 else { return .noRoom }
            room -= 1
            let read = self.input.withUnsafeReadableBytes { self.scanner.readFrame($0) }
            switch read {
            case .incomplete: return self.starve()
            case .violation(let code, let why): return self.fail(code, why)
            case .header(let header):
                if !header.fin, !self.allowsFragments { return self.fail(.protocolError, "fragmented message") }
                self.input.moveReaderIndex(forwardBy: header.headerLength)
                if header.opcode == .pong, self.keepsPings {
                    self.input.moveReaderIndex(forwardBy: header.payloadLength)
                    continue
                }
                if header.opcode.isControl {
                    var payload = self.input.readSlice(length: header.payloadLength) ?? ByteBuffer()
                    if header.opcode == .ping, self.keepsPings {
                        // Unmasked when it is taken: most of a run are not.
                        self.latestPing = payload
                        self.latestPingMask = header.mask ?? 0
                        continue
                    }
                    if let mask = header.mask {
                        FrameWriter.toggle(
                            &payload, from: payload.readerIndex, count: payload.readableBytes, mask: mask)
                    }
                    return .control(header.opcode, payload)
                }
                if header.opcode != .continuation { self.opcode = header.opcode }
                self.remaining = header.payloadLength
                self.mask = header.mask ?? 0
                self.isFinal = header.fin
                if self.remaining == 0, let event = self.endFrame() { return event }
            }
        }
    }

    /// The same, with room for any number of frames.
    package mutating func next() -> Event {
        var room = Int.max
        return self.next(room: &room)
    }

    package enum Skimmed: Equatable, Sendable {
        case nothing
        case close
        case violation
    }

    /// Goes through what has come for the peer's Close. From the first call on nothing of a message is kept, and what
    /// was there of one is dropped. The frame that is under way is passed over to its end.
    ///
    /// - Parameter room: the number of frames that may still be looked at. Bytes behind them are dropped.
    package mutating func skim(room: inout Int) -> Skimmed {
        self.isSkimming = true
        self.message = ByteBuffer()
        defer { self.latestPing = nil }
        while true {
            switch self.next(room: &room) {
            case .needMore: return .nothing
            case .noRoom:
                self.input = ByteBuffer()
                return .nothing
            case .control(.close, _): return .close
            case .violation: return .violation
            case .control, .message: continue
            }
        }
    }

    /// Call this when the input has no whole frame left. The rest of the input is copied out of the buffer of the read,
    /// because one byte of a header would keep 64 KiB alive.
    private mutating func starve() -> Event {
        if self.input.readableBytes == 0 {
            self.input = ByteBuffer()
        } else if self.input.storageCapacity > 1024, self.input.storageCapacity / 4 > self.input.readableBytes {
            self.input = ByteBuffer(bytes: self.input.readableBytesView)
        }
        return .needMore
    }

    private mutating func takePayload() {
        if self.isSkimming {
            let count = min(self.remaining, self.input.readableBytes)
            self.input.moveReaderIndex(forwardBy: count)
            self.remaining -= count
            self.payloadBytes &+= UInt64(truncatingIfNeeded: count)
            return
        }
        guard let part = self.input.readSlice(length: min(self.remaining, self.input.readableBytes)) else { return }
        let count = part.readableBytes
        self.remaining -= count
        self.payloadBytes &+= UInt64(truncatingIfNeeded: count)
        if count == 0 { return }
        // Copied, though a slice would do: a small message that waits for its acknowledgement must not keep the whole
        // of the buffer it was read in.
        let start = self.message.writerIndex
        self.message.writeImmutableBuffer(part)
        if self.mask != 0 {
            FrameWriter.toggle(&self.message, from: start, count: count, mask: self.mask)
            let shift = UInt32(count & 3) * 8
            if shift != 0 { self.mask = self.mask >> shift | self.mask << (32 - shift) }
        }
    }

    private mutating func endFrame() -> Event? {
        guard self.isFinal, !self.isSkimming else { return nil }
        let payload = self.message
        self.message = ByteBuffer()
        if self.opcode == .text {
            var validator = UTF8Validator()
            let valid = payload.withUnsafeReadableBytes { validator.consume($0) } && validator.isComplete
            if !valid { return self.fail(.invalidPayload, "text is not UTF-8") }
        }
        return .message(self.opcode, payload)
    }

    private mutating func fail(_ code: CloseCode, _ why: String) -> Event {
        self.failure = (code, why)
        self.input = ByteBuffer()
        self.message = ByteBuffer()
        return .violation(code, why)
    }
}

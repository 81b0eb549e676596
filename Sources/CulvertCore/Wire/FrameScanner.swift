/// Checks a peer's stream of frames without taking it apart: what passes may be forwarded byte for byte.
///
/// Data frames need their header looked at and nothing else, unless text is validated. Pings and pongs pass like data
/// and are counted, so that a run of them costs what as many small messages cost. A Close, and a pong that answers a
/// ping of Culvert's, are handed out.
package struct FrameScanner: Sendable {
    package struct Scan: Equatable, Sendable {
        /// Leading bytes that passed and may be forwarded.
        package var accepted: Int
        package var stop: Stop
    }

    package enum Stop: Equatable, Sendable {
        /// Everything was accepted.
        case end
        /// The bytes behind `accepted` begin a header or control frame that is not whole. The caller keeps them, at
        /// most ``FrameHeader/longestCarry`` bytes, and offers them again in front of the next bytes.
        case incomplete
        /// A whole and valid control frame that does not pass begins at `accepted`, not counted there. The caller
        /// takes its `frameLength` bytes and scans on behind it.
        case control(FrameHeader)
        /// Only when asked to stop there: a frame border.
        case boundary
        /// The close code the peer earned, and why.
        case violation(CloseCode, String)
    }

    /// Which control frames ``scan(_:stopAtBoundary:betweenMessages:)`` stops at.
    package enum ControlStops: Sendable {
        /// At a Close, and at a pong with the payload of ``KeepalivePing``.
        case closeAndOwnPongs
        case all
    }

    /// What the peer's frames have to keep to, and which of them are handed out. It stays as it is.
    private struct Rules: Sendable {
        /// The peer is a client (RFC 6455 5.1).
        let masked: Bool
        let controlStops: ControlStops
        let messageLimit: Int
        let allowedRSV: UInt8
        let fragmentLimit: Int
        let validateText: Bool
    }

    private let rules: Rules

    /// Payload bytes still to come of the current data frame.
    package private(set) var remaining = 0
    /// The current frame ends its message.
    private var isFinal = true
    /// A message has begun and its last frame not been seen.
    private var isInMessage = false
    /// Payload bytes of the current message, as announced by the headers so far.
    private var messageBytes = 0
    /// Frames of the current message.
    private var fragments = 0
    private var isValidating = false
    private var mask: UInt32 = 0
    private var validator = UTF8Validator()

    /// Whole data messages.
    package private(set) var messages: UInt64 = 0
    /// Payload bytes of data frames accepted.
    package private(set) var payloadBytes: UInt64 = 0
    /// Pings and pongs, those that are handed out included, and empty fragments.
    package private(set) var controls = ControlCount()

    /// - Parameters:
    ///   - messageLimit: bytes of payload, over all fragments of a message.
    ///   - allowedRSV: bits that a negotiated extension uses, as in ``FrameHeader/rsv``.
    ///   - validateText: check the UTF-8 of text that is not compressed.
    ///   - fragmentLimit: most frames of one message; nil for no limit.
    ///   - controlStops: which control frames are handed out; the others pass.
    package init(
        sender: Endpoint, messageLimit: Int, allowedRSV: UInt8, validateText: Bool, fragmentLimit: Int? = nil,
        controlStops: ControlStops = .all
    ) {
        self.rules = Rules(
            masked: sender == .client, controlStops: controlStops, messageLimit: messageLimit, allowedRSV: allowedRSV,
            fragmentLimit: fragmentLimit ?? .max, validateText: validateText)
    }

    /// The peer whose bytes are scanned.
    package var sender: Endpoint { self.rules.masked ? .client : .server }

    /// The most bytes of payload of a message.
    package var messageLimit: Int { self.rules.messageLimit }

    /// The most frames of a message.
    package var fragmentLimit: Int { self.rules.fragmentLimit }

    /// Whether a frame of our own may be put in here.
    package var isAtFrameBoundary: Bool { self.remaining == 0 }

    package var isBetweenMessages: Bool { self.remaining == 0 && !self.isInMessage }

    /// - Parameter betweenMessages: of the boundaries, to stop only at those between messages.
    package mutating func scan(
        _ bytes: UnsafeRawBufferPointer, stopAtBoundary: Bool, betweenMessages: Bool = false
    ) -> Scan {
        var index = 0
        while true {
            if self.remaining > 0 {
                let take = min(self.remaining, bytes.count - index)
                if self.isValidating {
                    if !self.validate(UnsafeRawBufferPointer(rebasing: bytes[index..<index + take])) {
                        return Scan(accepted: index, stop: .violation(.invalidPayload, "text is not UTF-8"))
                    }
                    // The last bytes do not pass, so that the receiver has no whole message.
                    if take == self.remaining, self.isTextCut { return Scan(accepted: index, stop: Self.cutText) }
                }
                index += take
                self.remaining -= take
                self.payloadBytes &+= UInt64(truncatingIfNeeded: take)
                if self.remaining > 0 { return Scan(accepted: index, stop: .end) }
                self.endFrame()
            }
            if index == bytes.count { return Scan(accepted: index, stop: .end) }
            if stopAtBoundary, !(betweenMessages && self.isInMessage) { return Scan(accepted: index, stop: .boundary) }
            switch self.readHeader(UnsafeRawBufferPointer(rebasing: bytes[index...])) {
            case .incomplete: return Scan(accepted: index, stop: .incomplete)
            case .violation(let code, let why): return Scan(accepted: index, stop: .violation(code, why))
            case .header(let header):
                if header.opcode.isControl {
                    guard self.passes(header, UnsafeRawBufferPointer(rebasing: bytes[index...])) else {
                        return Scan(accepted: index, stop: .control(header))
                    }
                    index += header.frameLength
                    continue
                }
                if let violation = self.beginFrame(header) { return Scan(accepted: index, stop: violation) }
                if header.payloadLength == 0 {
                    if self.isTextCut { return Scan(accepted: index, stop: Self.cutText) }
                    self.endFrame()
                }
                index += header.headerLength
            }
        }
    }

    // MARK: - control frames

    /// Counts a whole control frame at the start of `bytes`.
    ///
    /// - Returns: whether it passes like data.
    private mutating func passes(_ header: FrameHeader, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard self.count(header, bytes) else { return false }
        return self.rules.controlStops == .closeAndOwnPongs
    }

    /// - Returns: whether it is a ping, or a pong of an application's.
    private mutating func count(_ header: FrameHeader, _ bytes: UnsafeRawBufferPointer) -> Bool {
        switch header.opcode {
        case .ping:
            self.controls.pings &+= 1
        case .pong where Self.isOwnPong(header, bytes):
            self.controls.ownPongs &+= 1
            self.controls.bytes &+= UInt64(truncatingIfNeeded: header.payloadLength)
            return false
        case .pong:
            self.controls.pongs &+= 1
        default:
            return false
        }
        self.controls.bytes &+= UInt64(truncatingIfNeeded: header.payloadLength)
        return true
    }

    /// Whether the pong at the start of `bytes`, which hold it whole, answers a ping of Culvert's.
    private static func isOwnPong(_ header: FrameHeader, _ bytes: UnsafeRawBufferPointer) -> Bool {
        let payload = KeepalivePing.payload
        guard header.payloadLength == payload.count else { return false }
        let mask = header.mask ?? 0
        for (index, byte) in payload.enumerated() {
            let key = UInt8(truncatingIfNeeded: mask >> UInt32((index & 3) * 8))
            if bytes[header.headerLength + index] ^ key != byte { return false }
        }
        return true
    }

    // MARK: - frames

    package enum Read {
        case incomplete
        case violation(CloseCode, String)
        case header(FrameHeader)
    }

    /// `bytes` is not empty. Everything that the header alone can break is checked here, and a control frame whole.
    @inline(__always)
    private func readHeader(_ bytes: UnsafeRawBufferPointer) -> Read {
        let first = bytes[0]
        guard let opcode = Opcode(rawValue: first & 0x0F) else {
            return .violation(.protocolError, "unknown opcode")
        }
        let rsv = first >> 4 & 7
        let fin = first & 0x80 != 0
        if rsv != 0,
            rsv & ~self.rules.allowedRSV != 0 || opcode.isControl || (rsv & 4 != 0 && opcode == .continuation)
        {
            return .violation(.protocolError, "reserved bits without an extension")
        }
        if opcode.isControl {
            if !fin { return .violation(.protocolError, "fragmented control frame") }
        } else if (opcode == .continuation) != self.isInMessage {
            return .violation(
                .protocolError, self.isInMessage ? "message inside a fragmented message" : "continuation of nothing")
        }
        guard bytes.count >= 2 else { return .incomplete }
        let second = bytes[1]
        if (second & 0x80 != 0) != self.rules.masked {
            return .violation(
                .protocolError, self.rules.masked ? "unmasked frame from a client" : "masked frame from a server")
        }
        let short = Int(second & 0x7F)
        var length = short
        var headerLength = 2
        if short > 125 {
            if opcode.isControl { return .violation(.protocolError, "control frame over 125 bytes") }
            if short == 126 {
                guard bytes.count >= 4 else { return .incomplete }
                length = Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
                headerLength = 4
                if length < 126 { return .violation(.protocolError, "length not minimal") }
            } else {
                guard bytes.count >= 10 else { return .incomplete }
                let wide = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt64.self))
                guard let exact = Int(exactly: wide) else { return .violation(.protocolError, "length out of range") }
                length = exact
                headerLength = 10
                if length <= 0xFFFF { return .violation(.protocolError, "length not minimal") }
            }
        }
        var mask: UInt32?
        if self.rules.masked {
            guard bytes.count >= headerLength + 4 else { return .incomplete }
            mask = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: headerLength, as: UInt32.self))
            headerLength += 4
        }
        let header = FrameHeader(
            fin: fin, rsv: rsv, opcode: opcode, mask: mask, payloadLength: length, headerLength: headerLength)
        if opcode.isControl {
            guard bytes.count >= header.frameLength else { return .incomplete }
            if opcode == .close, let violation = self.checkClose(bytes, header) { return violation }
        }
        return .header(header)
    }

    /// Checks and counts one header, for a caller that takes the payload itself. The scanner is then behind the frame.
    /// A control frame is checked whole.
    package mutating func readFrame(_ bytes: UnsafeRawBufferPointer) -> Read {
        let read = self.readHeader(bytes)
        guard case .header(let header) = read else { return read }
        if header.opcode.isControl {
            _ = self.count(header, bytes)
            return read
        }
        if case .violation(let code, let why) = self.beginFrame(header) { return .violation(code, why) }
        self.remaining = 0
        self.payloadBytes &+= UInt64(truncatingIfNeeded: header.payloadLength)
        self.endFrame()
        return read
    }

    private func checkClose(_ bytes: UnsafeRawBufferPointer, _ header: FrameHeader) -> Read? {
        do throws(CloseFrame.Malformed) {
            _ = try Self.closeFrame(bytes, header)
            return nil
        } catch {
            switch error {
            case .code: return .violation(.protocolError, "malformed close frame")
            case .reason: return .violation(.invalidPayload, "close reason is not UTF-8")
            }
        }
    }

    /// The Close frame at the start of `bytes`, which hold it whole.
    package static func closeFrame(
        _ bytes: UnsafeRawBufferPointer, _ header: FrameHeader
    ) throws(CloseFrame.Malformed) -> CloseFrame {
        var payload = [UInt8](bytes.dropFirst(header.headerLength).prefix(header.payloadLength))
        if let mask = header.mask { payload.withUnsafeMutableBytes { FrameWriter.toggle($0, mask: mask) } }
        return try CloseFrame.parse(payload: payload)
    }

    @inline(__always)
    private mutating func beginFrame(_ header: FrameHeader) -> Stop? {
        if header.opcode != .continuation {
            self.messageBytes = 0
            self.fragments = 0
            // A reserved bit says that an extension has changed the bytes: they are not text (RFC 7692 section 6).
            self.isValidating = self.rules.validateText && header.opcode == .text && header.rsv == 0
        }
        if header.payloadLength > self.rules.messageLimit - self.messageBytes {
            return .violation(.messageTooBig, "message over the limit")
        }
        self.messageBytes += header.payloadLength
        self.fragments &+= 1
        if self.fragments > self.rules.fragmentLimit { return .violation(.policyViolation, "too many fragments") }
        if header.payloadLength == 0, !header.fin { self.controls.emptyFragments &+= 1 }
        self.isInMessage = true
        self.isFinal = header.fin
        self.remaining = header.payloadLength
        self.mask = header.mask ?? 0
        return nil
    }

    @inline(__always)
    private mutating func endFrame() {
        guard self.isFinal else { return }
        self.isInMessage = false
        self.messages &+= 1
    }

    /// At the end of a frame's payload: the message ends with it, and inside a character.
    private var isTextCut: Bool { self.isFinal && self.isValidating && !self.validator.isComplete }

    private static let cutText = Stop.violation(.invalidPayload, "text ends inside a character")

    private mutating func validate(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard self.validator.consume(bytes, mask: self.mask) else { return false }
        // The next bytes of this frame start elsewhere in the masking key.
        let shift = UInt32(bytes.count & 3) * 8
        if shift != 0 { self.mask = self.mask >> shift | self.mask << (32 - shift) }
        return true
    }
}

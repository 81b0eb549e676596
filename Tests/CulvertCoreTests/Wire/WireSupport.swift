import CulvertCore
import NIOCore

/// SplitMix64: the same numbers on every run.
struct WireRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        self.state = seed
    }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var z = self.state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
    }
}

/// Frames built apart from `FrameWriter`, so that a mistake there cannot hide one in the readers.
enum WireBytes {
    static let mask: UInt32 = 0x7A3F_10C5

    /// `head` is the whole first byte. `lengthBytes` forces a form of the length: 0, 2 or 8 bytes behind the second.
    static func frame(
        _ head: UInt8, _ payload: [UInt8] = [], mask: UInt32? = nil, lengthBytes: Int? = nil
    ) -> [UInt8] {
        let flag: UInt8 = mask == nil ? 0 : 0x80
        let form = lengthBytes ?? (payload.count < 126 ? 0 : payload.count < 65536 ? 2 : 8)
        var out = [head]
        switch form {
        case 0: out.append(flag | UInt8(payload.count))
        case 2: out.append(flag | 126)
        default: out.append(flag | 127)
        }
        for shift in (0..<form).reversed() { out.append(UInt8(truncatingIfNeeded: payload.count >> (shift * 8))) }
        guard let mask else { return out + payload }
        let key = self.key(mask)
        return out + key + payload.enumerated().map { $1 ^ key[$0 % 4] }
    }

    static func key(_ mask: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: mask >> ($0 * 8)) }
    }

    static func close(_ code: UInt16, _ reason: [UInt8] = [], mask: UInt32? = nil) -> [UInt8] {
        self.frame(0x88, [UInt8(code >> 8), UInt8(code & 0xFF)] + reason, mask: mask)
    }

    /// Cuts `bytes` at random places, now and then into single bytes.
    static func chunks(_ bytes: [UInt8], using random: inout WireRandom) -> [[UInt8]] {
        let longest = Int.random(in: 1...max(1, min(bytes.count, 400)), using: &random)
        var chunks: [[UInt8]] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = min(rest.count, Int.random(in: 1...longest, using: &random))
            chunks.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        return chunks
    }
}

/// What a caller of the scanner sees of a stream, whatever pieces it comes in.
struct ScanRecord: Equatable {
    enum Event: Equatable {
        /// `offset`: bytes forwarded before it.
        case control(offset: Int, FrameHeader, payload: [UInt8])
        case violation(CloseCode, String)
    }

    var events: [Event] = []
    /// Bytes let through.
    var forwarded: [UInt8] = []
    /// Bytes kept at the end for a header or control frame that is not whole.
    var carry: [UInt8] = []
    var messages: UInt64 = 0
    var payloadBytes: UInt64 = 0
    var isAtFrameBoundary = false
    /// Rules of the interface that the scanner itself broke; must stay empty.
    var broken: [String] = []

    var violation: CloseCode? {
        guard case .violation(let code, _)? = self.events.last else { return nil }
        return code
    }

    /// Does with the scanner what the proxy does: keeps what is not whole, takes control frames out, goes on.
    static func of(_ chunks: [[UInt8]], _ scanner: FrameScanner) -> ScanRecord {
        var scanner = scanner
        var record = ScanRecord()
        chunks: for chunk in chunks {
            var bytes = (record.carry + chunk)[...]
            record.carry = []
            scan: while true {
                let rest = Array(bytes)
                let scan = rest.withUnsafeBytes { scanner.scan($0, stopAtBoundary: false) }
                guard scan.accepted >= 0, scan.accepted <= rest.count else {
                    record.broken.append("accepted \(scan.accepted) of \(rest.count)")
                    break chunks
                }
                record.forwarded += rest.prefix(scan.accepted)
                bytes = rest.dropFirst(scan.accepted)
                switch scan.stop {
                case .end:
                    if !bytes.isEmpty { record.broken.append("end with bytes left") }
                    break scan
                case .incomplete:
                    record.carry = Array(bytes)
                    if bytes.isEmpty { record.broken.append("incomplete without bytes") }
                    if bytes.count > FrameHeader.longestCarry { record.broken.append("carry of \(bytes.count)") }
                    break scan
                case .boundary:
                    record.broken.append("boundary unasked")
                    break chunks
                case .control(let header):
                    guard header.frameLength <= bytes.count, header.opcode.isControl else {
                        record.broken.append("control frame not whole")
                        break chunks
                    }
                    let key = header.mask.map(WireBytes.key) ?? [0, 0, 0, 0]
                    let payload = bytes.prefix(header.frameLength).dropFirst(header.headerLength)
                    record.events.append(
                        .control(
                            offset: record.forwarded.count, header,
                            payload: payload.enumerated().map { $1 ^ key[$0 % 4] }))
                    bytes = bytes.dropFirst(header.frameLength)
                case .violation(let code, let why):
                    record.events.append(.violation(code, why))
                    break chunks
                }
            }
        }
        record.messages = scanner.messages
        record.payloadBytes = scanner.payloadBytes
        record.isAtFrameBoundary = scanner.isAtFrameBoundary
        return record
    }
}

import CulvertCore
import NIOCore
import Testing

@Suite("Pings and pongs of a peer")
struct PeerControlTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    @Test("Only the latest ping is kept, and answered once when the connection takes bytes")
    func latest() {
        var control = PeerControl()
        #expect(control.takePong(isWritable: true, mask: nil) == nil)
        for index in 0..<10 { control.received(ping: ByteBuffer(bytes: [UInt8(index)])) }
        #expect(control.takePong(isWritable: false, mask: nil) == nil)
        #expect(control.owesPong)
        #expect(control.takePong(isWritable: true, mask: nil) == ByteBuffer(bytes: [0x8A, 1, 9]))
        #expect(control.takePong(isWritable: true, mask: nil) == nil)
    }

    @Test("The burst is free, and then the rate holds for any length of time")
    func rate() {
        var control = PeerControl()
        #expect(control.charge(UInt64(PeerControl.burst), now: Self.start) == nil)
        #expect(control.charge(1, now: Self.start) == PeerControl.shortestWait)
        var now = Self.start + .seconds(10)
        for _ in 0..<100 {
            #expect(control.charge(UInt64(PeerControl.rate / 10), now: now) == nil)
            now = now + .milliseconds(100)
        }
    }

    @Test("A peer above the rate gets no more than the rate, whatever comes at a time", arguments: [1, 7, 1000, 40_000])
    func flood(frames: UInt64) {
        var control = PeerControl()
        var now = Self.start
        var sent: UInt64 = 0
        for _ in 0..<10_000 {
            sent += frames
            if let wait = control.charge(frames, now: now) {
                #expect(wait >= PeerControl.shortestWait && wait <= PeerControl.longestWait)
                now = now + wait
            }
        }
        let seconds = Double((now - Self.start).nanoseconds) / 1e9
        // What is beyond the longest wait is forgiven: at most a read for each of those.
        let bound = max(Double(PeerControl.rate), Double(frames) / 5)
        #expect(Double(sent) <= Double(PeerControl.burst) + seconds * bound * 1.01 + Double(frames))
    }

    @Test("No number of frames traps", arguments: [0, 1, UInt64(Int64.max), .max])
    func extremes(frames: UInt64) {
        var control = PeerControl()
        for _ in 0..<3 { _ = control.charge(frames, now: Self.start) }
        #expect((control.charge(1, now: Self.start) ?? .zero) <= PeerControl.longestWait)
        #expect(control.charge(1, now: Self.start + PeerControl.longestWait + .seconds(1)) == nil)
    }

    @Test("The excess is logged once")
    func once() {
        var control = PeerControl()
        let answers = [control.isFirstExcess(), control.isFirstExcess(), control.isFirstExcess()]
        #expect(answers == [true, false, false])
    }

    // MARK: - the scanner counts them and lets them pass

    private static let own = WireBytes.frame(0x8A, KeepalivePing.payload)

    /// What is forwarded of `chunks`, and what is handed out.
    private static func scan(_ chunks: [[UInt8]], sender: Endpoint = .server) -> (ScanRecord, ControlCount) {
        var scanner = FrameScanner(
            sender: sender, messageLimit: 1000, allowedRSV: 0, validateText: true, controlStops: .closeAndOwnPongs)
        let record = ScanRecord.of(chunks, scanner)
        // The record works on a copy.
        var carry: [UInt8] = []
        for chunk in chunks {
            var rest = carry + chunk
            carry = []
            while !rest.isEmpty {
                let scan = rest.withUnsafeBytes { scanner.scan($0, stopAtBoundary: false) }
                rest.removeFirst(scan.accepted)
                if case .control(let header) = scan.stop {
                    rest.removeFirst(header.frameLength)
                } else {
                    carry = rest
                    break
                }
            }
        }
        return (record, scanner.controls)
    }

    @Test("Pings and pongs pass like data, wherever the bytes are cut", arguments: [nil, WireBytes.mask])
    func pass(mask: UInt32?) {
        let before =
            WireBytes.frame(0x01, [0x61], mask: mask) + WireBytes.frame(0x89, [1, 2], mask: mask)
            + WireBytes.frame(0x8A, [], mask: mask) + WireBytes.frame(0x80, [0x62], mask: mask)
        let own = WireBytes.frame(0x8A, KeepalivePing.payload, mask: mask)
        let after = WireBytes.frame(0x8A, Array(KeepalivePing.payload.reversed()), mask: mask)
        let close = WireBytes.close(1000, mask: mask)
        let stream = before + own + after + close
        for size in 1...stream.count {
            let chunks = stride(from: 0, to: stream.count, by: size).map {
                Array(stream[$0..<min($0 + size, stream.count)])
            }
            let (record, count) = Self.scan(chunks, sender: mask == nil ? .server : .client)
            #expect(record.forwarded == before + after, "in pieces of \(size)")
            #expect(record.events.count == 2)
            #expect(record.broken == [])
            #expect(record.messages == 1)
            #expect(count.pings == 1)
            #expect(count.pongs == 2)
            #expect(count.ownPongs == 1)
            #expect(count.bytes == UInt64(2 + 2 * KeepalivePing.payload.count))
        }
    }

    @Test("A broken control frame is a violation, and what came before it passes")
    func violation() {
        let good = WireBytes.frame(0x89, [1])
        for bad in [[0x09, 0], [0x89, 126, 0, 126], [0xC9, 0], [0x8B, 0]] as [[UInt8]] {
            let (record, _) = Self.scan([good + good + bad])
            #expect(record.forwarded == good + good)
            #expect(record.violation == .protocolError, "\(bad)")
        }
    }

    @Test("At a frame border the scanner stops in front of a ping, too")
    func boundary() {
        var scanner = FrameScanner(
            sender: .server, messageLimit: 10, allowedRSV: 0, validateText: false, controlStops: .closeAndOwnPongs)
        let data = WireBytes.frame(0x82, [1])
        let scan = (data + WireBytes.frame(0x89)).withUnsafeBytes { bytes in
            let first = scanner.scan(UnsafeRawBufferPointer(rebasing: bytes[..<2]), stopAtBoundary: false)
            let second = scanner.scan(UnsafeRawBufferPointer(rebasing: bytes[2...]), stopAtBoundary: true)
            return [first, second]
        }
        #expect(scan.map(\.accepted) == [2, 1])
        #expect(scan.map(\.stop) == [.end, .boundary])
    }

    // MARK: - the assembler keeps the latest

    @Test("An assembler that keeps pings passes over runs of them", arguments: [nil, WireBytes.mask])
    func assembler(mask: UInt32?) {
        var assembler = MessageAssembler(
            sender: mask == nil ? .server : .client, messageLimit: 10, keepsPings: true)
        #expect(assembler.takePing() == nil)
        var bytes = WireBytes.frame(0x02, [1], mask: mask)
        for index in 0..<100 {
            bytes += WireBytes.frame(0x89, [UInt8(index), 7, 8], mask: mask)
            bytes += WireBytes.frame(0x8A, [1], mask: mask)
        }
        bytes += WireBytes.frame(0x80, [2], mask: mask) + WireBytes.frame(0x89, [], mask: mask)
        assembler.append(ByteBuffer(bytes: bytes))
        #expect(assembler.next() == .message(.binary, ByteBuffer(bytes: [1, 2])))
        #expect(assembler.takePing() == ByteBuffer(bytes: [99, 7, 8]))
        #expect(assembler.next() == .needMore)
        #expect(assembler.takePing() == ByteBuffer())
        #expect(assembler.takePing() == nil)
        #expect(assembler.controls.pings == 101)
        #expect(assembler.controls.pongs == 100)
        assembler.append(ByteBuffer(bytes: WireBytes.close(1000, mask: mask)))
        #expect(assembler.next() == .control(.close, ByteBuffer(bytes: [0x03, 0xE8])))
    }

    @Test("What is left of a read does not keep the buffer of the read")
    func leftOver() {
        var assembler = MessageAssembler(sender: .server, messageLimit: 100_000)
        assembler.append(ByteBuffer(bytes: WireBytes.frame(0x82, [UInt8](repeating: 1, count: 60_000)) + [0x82]))
        while assembler.next() != .needMore {}
        #expect(assembler.heldBytes == 1)
        #expect(assembler.heldCapacity <= 64)
        assembler.append(ByteBuffer(bytes: [1, 5]))
        #expect(assembler.next() == .message(.binary, ByteBuffer(bytes: [5])))
        #expect(assembler.next() == .needMore)
        #expect(assembler.heldCapacity == 0)
    }
}

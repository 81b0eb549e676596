import CulvertCore
import NIOCore
import Testing

/// Data frames without payload that do not end their message: two bytes each, without end.
@Suite("Empty fragments")
struct EmptyFragmentTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var what: String
        /// First bytes of frames, and the lengths of their payloads.
        var frames: [(UInt8, Int)]
        var empty: UInt64

        var testDescription: String { self.what }

        func bytes(mask: UInt32?) -> [UInt8] {
            self.frames.flatMap { WireBytes.frame($0.0, [UInt8](repeating: 0x61, count: $0.1), mask: mask) }
        }
    }

    static let cases = [
        Case(what: "none in a whole message", frames: [(0x82, 3), (0x81, 0)], empty: 0),
        Case(what: "the first fragment is empty", frames: [(0x02, 0), (0x80, 3)], empty: 1),
        Case(what: "empty continuations", frames: [(0x01, 3), (0x00, 0), (0x00, 0), (0x80, 3)], empty: 2),
        Case(what: "an empty end is none: it makes a message", frames: [(0x02, 3), (0x80, 0)], empty: 0),
        Case(what: "fragments of a byte are none", frames: [(0x02, 1), (0x00, 1), (0x80, 1)], empty: 0),
        Case(what: "pings between them count apart", frames: [(0x02, 0), (0x89, 0), (0x00, 0), (0x80, 0)], empty: 2),
        Case(what: "a message without end", frames: endless, empty: 1000),
    ]

    private static let endless: [(UInt8, Int)] = (0..<1000).map { (number: Int) -> (UInt8, Int) in
        (number == 0 ? 0x02 : 0x00, 0)
    }

    private static func chunks(_ bytes: [UInt8], _ size: Int) -> [[UInt8]] {
        stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min($0 + size, bytes.count)]) }
    }

    @Test("The scanner counts them, and lets them pass", arguments: cases, [nil, WireBytes.mask])
    func scanner(table: Case, mask: UInt32?) {
        let bytes = table.bytes(mask: mask)
        for size in [1, 2, 3, bytes.count] {
            var scanner = FrameScanner(
                sender: mask == nil ? .server : .client, messageLimit: 100, allowedRSV: 0, validateText: true,
                controlStops: .closeAndOwnPongs)
            var rest: [UInt8] = []
            var passed = 0
            for chunk in Self.chunks(bytes, size) {
                rest += chunk
                let scan = rest.withUnsafeBytes { scanner.scan($0, stopAtBoundary: false) }
                rest.removeFirst(scan.accepted)
                passed += scan.accepted
            }
            #expect(passed == bytes.count, "in pieces of \(size)")
            #expect(scanner.controls.emptyFragments == table.empty, "in pieces of \(size)")
        }
    }

    @Test("The assembler counts them", arguments: cases, [nil, WireBytes.mask])
    func assembler(table: Case, mask: UInt32?) {
        let bytes = table.bytes(mask: mask)
        for size in [1, 2, 3, bytes.count] {
            var assembler = MessageAssembler(
                sender: mask == nil ? .server : .client, messageLimit: 100, keepsPings: true)
            for chunk in Self.chunks(bytes, size) {
                assembler.append(ByteBuffer(bytes: chunk))
                while assembler.next() != .needMore {}
            }
            #expect(assembler.controls.emptyFragments == table.empty, "in pieces of \(size)")
            let payload = table.frames.filter { $0.0 & 0x08 == 0 }.reduce(0) { $0 + $1.1 }
            #expect(assembler.payloadBytes == UInt64(payload), "in pieces of \(size)")
        }
    }

    @Test("They count against the rate of a peer like pings, and in the rates of sessions and tokens")
    func counts() {
        var count = ControlCount()
        count.pings = 1
        count.pongs = 2
        count.ownPongs = 4
        count.emptyFragments = 8
        #expect(count.frames == 15)
        #expect(count.charged == 11)
        #expect(count + count - count == count)
        #expect((count + count).emptyFragments == 16)
        var control = PeerControl()
        #expect(control.isNew(count))
        #expect(control.take(count) == count)
        #expect(!control.isNew(count))
        count.emptyFragments += UInt64(PeerControl.burst) + 1
        #expect(control.isNew(count))
        let now = NIODeadline.uptimeNanoseconds(1_000_000_000)
        #expect(control.charge(control.take(count).frames, now: now) == PeerControl.shortestWait)
    }

    @Test("Parts of a message are counted as they come")
    func parts() {
        var assembler = MessageAssembler(sender: .server, messageLimit: 100)
        assembler.append(ByteBuffer(bytes: [0x82, 50, 1, 2]))
        #expect(assembler.next() == .needMore)
        #expect(assembler.payloadBytes == 2)
        assembler.append(ByteBuffer(bytes: [3]))
        #expect(assembler.next() == .needMore)
        #expect(assembler.payloadBytes == 3)
        #expect(assembler.skim() == .nothing)
        assembler.append(ByteBuffer(bytes: [4, 5]))
        #expect(assembler.skim() == .nothing)
        #expect(assembler.payloadBytes == 5)
    }
}

import CulvertCore
import NIOCore
import Testing

@Suite("Fragments of one message")
struct FragmentLimitTests {
    private static let limit = 3
    private static let violation = "too many fragments"

    private static func message(_ fragments: Int, mask: UInt32?) -> [UInt8] {
        (0..<fragments).flatMap { index in
            let opcode: UInt8 = index == 0 ? 0x02 : 0x00
            let fin: UInt8 = index == fragments - 1 ? 0x80 : 0
            return WireBytes.frame(fin | opcode, index == 1 ? [] : [7], mask: mask)
        }
    }

    @Test("As many as there may be pass, one more is 1008; each message counts from one", arguments: 1...5)
    func scanner(fragments: Int) {
        let stream = Self.message(Self.limit, mask: WireBytes.mask) + Self.message(fragments, mask: WireBytes.mask)
        for size in [1, 3, stream.count] {
            let chunks = stride(from: 0, to: stream.count, by: size).map {
                Array(stream[$0..<min($0 + size, stream.count)])
            }
            let record = ScanRecord.of(
                chunks,
                FrameScanner(
                    sender: .client, messageLimit: 100, allowedRSV: 0, validateText: false, fragmentLimit: Self.limit))
            #expect(record.violation == (fragments > Self.limit ? .policyViolation : nil))
            if case .violation(_, let why)? = record.events.last { #expect(why == Self.violation) }
        }
    }

    @Test("The same where messages are assembled", arguments: 1...5)
    func assembler(fragments: Int) {
        var assembler = MessageAssembler(sender: .server, messageLimit: 100, fragmentLimit: Self.limit)
        assembler.append(ByteBuffer(bytes: Self.message(Self.limit, mask: nil) + Self.message(fragments, mask: nil)))
        #expect(assembler.next() != .needMore)
        guard fragments > Self.limit else {
            #expect(assembler.heldBytes > 0)
            _ = assembler.next()
            #expect(assembler.heldBytes == 0)
            return
        }
        #expect(assembler.next() == .violation(.policyViolation, Self.violation))
    }

    @Test("Without a limit there is none")
    func unlimited() {
        let record = ScanRecord.of(
            [Self.message(90, mask: nil)],
            FrameScanner(sender: .server, messageLimit: 100, allowedRSV: 0, validateText: false))
        #expect(record.violation == nil && record.messages == 1)
    }
}

import CulvertCore
import NIOCore
import Testing

@Suite("Message assembler: time and memory")
struct MessageAssemblerBoundsTests {
    /// Bytes of the buffers the assembler holds on to. There is no interface for it, and there should be none.
    private static func held(_ assembler: MessageAssembler) -> Int {
        Mirror(reflecting: assembler).children.reduce(0) { $0 + (($1.value as? ByteBuffer)?.storageCapacity ?? 0) }
    }

    // With a copy of the message for each piece, each of these would move some hundreds of gigabytes.
    private static let size = 1 << 20

    @Test("A message in a million fragments takes time linear in its size", .timeLimit(.minutes(1)))
    func manyFragments() {
        var bytes = ByteBuffer()
        bytes.writeBytes(WireBytes.frame(0x02, [7]))
        let part = WireBytes.frame(0x00, [7])
        for _ in 0..<(Self.size - 2) { bytes.writeBytes(part) }
        bytes.writeBytes(WireBytes.frame(0x80, [7]))
        var assembler = MessageAssembler(sender: .server, messageLimit: Self.size)
        assembler.append(bytes)
        #expect(assembler.next() == .message(.binary, ByteBuffer(repeating: 7, count: Self.size)))
        #expect(assembler.next() == .needMore)
    }

    @Test("A message that comes byte by byte takes time linear in its size", .timeLimit(.minutes(1)))
    func manyAppends() {
        var assembler = MessageAssembler(sender: .server, messageLimit: Self.size)
        assembler.append(ByteBuffer(bytes: [0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 0]))
        let byte = ByteBuffer(bytes: [7])
        var early = 0
        for _ in 0..<(Self.size - 1) {
            assembler.append(byte)
            if assembler.next() != .needMore { early += 1 }
        }
        #expect(early == 0)
        assembler.append(byte)
        #expect(assembler.next() == .message(.binary, ByteBuffer(repeating: 7, count: Self.size)))
    }

    @Test("Many appends before the first look take time linear in their number", .timeLimit(.minutes(1)))
    func appendsUnread() {
        var assembler = MessageAssembler(sender: .server, messageLimit: 1)
        let frame = ByteBuffer(bytes: WireBytes.frame(0x82, [7]))
        for _ in 0..<(Self.size / 2) { assembler.append(frame) }
        var messages = 0
        while case .message = assembler.next() { messages += 1 }
        #expect(messages == Self.size / 2)
    }

    @Test("Holds no more than the message, a control frame and one append, but for the rounding of buffers")
    func bounded() {
        let limit = 10_000
        let piece = 1000
        var assembler = MessageAssembler(sender: .server, messageLimit: limit)
        let fragment = WireBytes.frame(0x00, [UInt8](repeating: 1, count: 90))
        let ping = WireBytes.frame(0x89, [UInt8](repeating: 2, count: 125))
        var bytes = WireBytes.frame(0x02, [])
        for _ in 0..<110 { bytes += fragment + ping }
        for _ in 0..<40 {
            bytes += WireBytes.frame(0x80, []) + WireBytes.frame(0x02, [])
            for _ in 0..<110 { bytes += fragment + ping }
        }
        var most = 0
        var pings = 0
        var messages = 0
        var rest = bytes[...]
        while !rest.isEmpty {
            assembler.append(ByteBuffer(bytes: rest.prefix(piece)))
            rest = rest.dropFirst(piece)
            draining: while true {
                switch assembler.next() {
                case .needMore, .noRoom: break draining
                case .control: pings += 1
                case .message: messages += 1
                case .violation(let code, let why):
                    Issue.record("\(code) \(why)")
                    return
                }
            }
            most = max(most, Self.held(assembler))
        }
        #expect(pings == 41 * 110)
        #expect(messages == 40)
        // Buffers grow to powers of two.
        #expect(most <= 2 * (limit + piece + FrameHeader.longestCarry))
        #expect(most >= 110 * 90)
    }

    @Test("A length that is announced and not sent costs nothing")
    func announced() {
        var assembler = MessageAssembler(sender: .server, messageLimit: .max)
        assembler.append(ByteBuffer(bytes: [0x82, 127, 0, 0, 0xFF, 0, 0, 0, 0, 0, 1]))
        #expect(assembler.next() == .needMore)
        #expect(Self.held(assembler) < 1000)
    }

    @Test("A small message does not keep the large buffer it came in")
    func smallMessage() {
        var bytes = ByteBuffer(bytes: WireBytes.frame(0x82, [1, 2, 3]))
        bytes.writeBytes(WireBytes.frame(0x82, [UInt8](repeating: 0, count: 60_000)))
        var assembler = MessageAssembler(sender: .server, messageLimit: 1 << 20)
        assembler.append(bytes)
        guard case .message(_, let payload) = assembler.next() else {
            Issue.record("no message")
            return
        }
        #expect(payload.readableBytes == 3)
        #expect(payload.storageCapacity < 1000)
    }

    @Test(
        "Read for its Close alone, a stream costs nothing, and keeps its place in every frame",
        arguments: [1, 3, 7, 1000])
    func skims(piece: Int) {
        let big = WireBytes.frame(0x02, [UInt8](repeating: 0x88, count: 5000), mask: WireBytes.mask)
        let rest =
            WireBytes.frame(0x00, [0x88, 0x80, 0, 0, 0, 0], mask: 0) + WireBytes.frame(0x89, [1, 2], mask: 0)
            + WireBytes.frame(0x80, [], mask: 0) + WireBytes.frame(0x81, [0xFF], mask: WireBytes.mask)
        let close = WireBytes.close(1000, mask: WireBytes.mask)
        var assembler = MessageAssembler(sender: .client, messageLimit: 10_000, keepsPings: true)
        // The Close comes within a message that had begun before.
        assembler.append(ByteBuffer(bytes: big.prefix(2000)))
        #expect(assembler.next() == .needMore)
        #expect(assembler.heldCapacity >= 1900)
        #expect(assembler.skim() == .nothing)
        #expect(assembler.heldCapacity == 0)
        var bytes = (Array(big.dropFirst(2000)) + rest + close)[...]
        var most = 0
        while !bytes.isEmpty {
            assembler.append(ByteBuffer(bytes: bytes.prefix(piece)))
            bytes = bytes.dropFirst(piece)
            #expect(assembler.skim() == (bytes.isEmpty ? .close : .nothing))
            most = max(most, Self.held(assembler))
        }
        #expect(most <= 1024)
    }

    @Test("Attack: no more frames are taken apart together than there is room for, whatever is in them")
    func room() {
        let frames: [(UInt8, [UInt8])] = [
            (0x02, [1]), (0x00, []), (0x00, [2]), (0x89, []), (0x8A, []), (0x80, [3]), (0x82, []), (0x82, [4]),
        ]
        var assembler = MessageAssembler(sender: .server, messageLimit: 100, keepsPings: true)
        assembler.append(ByteBuffer(bytes: frames.flatMap { WireBytes.frame($0.0, $0.1) }))
        var room = 5
        #expect(assembler.next(room: &room) == .noRoom)
        #expect(room == 0)
        #expect(assembler.payloadBytes == 2)
        #expect(assembler.next(room: &room) == .noRoom)
        room = 3
        #expect(assembler.next(room: &room) == .message(.binary, ByteBuffer(bytes: [1, 2, 3])))
        #expect(room == 2)
        #expect(assembler.next(room: &room) == .message(.binary, ByteBuffer()))
        #expect(assembler.next(room: &room) == .message(.binary, ByteBuffer(bytes: [4])))
        // Where nothing is left no room is wanted.
        #expect(room == 0)
        #expect(assembler.next(room: &room) == .needMore)
    }

    @Test("The rest of a frame that has begun needs no room")
    func roomWithinFrame() {
        var assembler = MessageAssembler(sender: .server, messageLimit: 100)
        var room = 1
        assembler.append(ByteBuffer(bytes: [0x82, 2, 1]))
        #expect(assembler.next(room: &room) == .needMore)
        #expect(room == 0)
        assembler.append(ByteBuffer(bytes: [2]))
        #expect(assembler.next(room: &room) == .message(.binary, ByteBuffer(bytes: [1, 2])))
    }

    @Test("Attack: of very many frames in front of a Close only some are looked at, and nothing of the others is kept")
    func skimRoom() {
        let flood = (0..<1000).flatMap { _ in WireBytes.frame(0x82, [1]) } + WireBytes.close(1000)
        for (most, found) in [(1001, MessageAssembler.Skimmed.close), (1000, .nothing), (10, .nothing)] {
            var assembler = MessageAssembler(sender: .server, messageLimit: 100)
            assembler.append(ByteBuffer(bytes: flood))
            var room = most
            #expect(assembler.skim(room: &room) == found)
            #expect(room == 0)
            if found == .nothing { #expect(assembler.heldCapacity == 0) }
        }
    }

    @Test("What breaks the rules ends a stream that is read for its Close alone")
    func skimsToTheViolation() {
        var assembler = MessageAssembler(sender: .client, messageLimit: 10, keepsPings: true)
        #expect(assembler.skim() == .nothing)
        assembler.append(ByteBuffer(bytes: WireBytes.frame(0x02, [1, 2, 3])))
        #expect(assembler.skim() == .violation)
        #expect(assembler.skim() == .violation)
    }
}

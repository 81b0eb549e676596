import CulvertCore
import NIOCore
import Testing

@Suite("The first message of a TLS client")
struct ClientHelloTests {
    private static func vector(_ bytes: [UInt8], wide: Bool) -> [UInt8] {
        (wide ? [UInt8(bytes.count >> 8)] : []) + [UInt8(bytes.count & 0xFF)] + bytes
    }

    private static func protocols(_ names: [String]) -> [UInt8] {
        let list = names.flatMap { self.vector(Array($0.utf8), wide: false) }
        return [0, 16] + self.vector(self.vector(list, wide: true), wide: true)
    }

    private static func message(
        _ suites: [UInt16] = [0x1301, 0xC02F], extensions: [UInt8]?, type: UInt8 = 1
    ) -> [UInt8] {
        let body =
            [3, 3] + [UInt8](repeating: 9, count: 32) + self.vector([UInt8](repeating: 8, count: 32), wide: false)
            + self.vector(suites.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }, wide: true)
            + self.vector([0], wide: false) + (extensions.map { self.vector($0, wide: true) } ?? [])
        return [type, 0, UInt8(body.count >> 8), UInt8(body.count & 0xFF)] + body
    }

    private static func records(_ message: [UInt8], of size: Int = 16_384) -> [UInt8] {
        stride(from: 0, to: message.count, by: size).flatMap { at in
            [22, 3, 1] + self.vector(Array(message[at..<min(at + size, message.count)]), wide: true)
        }
    }

    /// The outcome, and the number of bytes that the reader gives on.
    private static func read(_ bytes: [UInt8], by size: Int = .max) -> (ClientHelloReader.Step, Int) {
        var reader = ClientHelloReader()
        var rest = ByteBuffer(bytes: bytes)
        var step = ClientHelloReader.Step.needMore
        while step == .needMore, rest.readableBytes > 0 {
            step = rest.readSlice(length: min(size, rest.readableBytes)).map { reader.read($0) } ?? step
        }
        return (step, reader.takeAll().readableBytes)
    }

    private static func hello(_ suites: Set<UInt16>, _ hasProtocols: Bool, _ offersHTTP1: Bool) -> ClientHello {
        var hello = ClientHello()
        hello.suites = suites
        hello.hasProtocols = hasProtocols
        hello.offersHTTP1 = offersHTTP1
        return hello
    }

    @Test(
        "Tells what ALPN offers",
        arguments: [
            (nil, false, false), ([], false, false), (protocols(["h2"]), true, false),
            (protocols(["h2", "http/1.1"]), true, true), ([0, 0, 0, 1, 7] + protocols(["http/1.1"]), true, true),
            (protocols(["http/1.10"]), true, false), (protocols([]), true, false),
        ] as [([UInt8]?, Bool, Bool)])
    func alpn(extensions: [UInt8]?, hasProtocols: Bool, offersHTTP1: Bool) {
        let (step, _) = Self.read(Self.records(Self.message(extensions: extensions)))
        let expected = Self.hello([0xC02F], hasProtocols, offersHTTP1)
        #expect(step == .done(expected))
        #expect(expected.lacksProtocol == (hasProtocols && !offersHTTP1))
    }

    @Test(
        "Tells whether a group is offered that costs little",
        arguments: [
            ([], false), ([0, 10, 0, 2, 0, 0], false), ([0, 10, 0, 4, 0, 2, 0, 0x18], false),
            ([0, 10, 0, 6, 0, 4, 0, 0x19, 0, 0x18], false), ([0, 10, 0, 6, 0, 4, 0, 0x18, 0, 0x1D], true),
            ([0, 10, 0, 4, 0, 2, 0, 0x17], true), ([0, 10, 0, 4, 0, 2, 0x11, 0xEC], true),
        ] as [([UInt8], Bool)])
    func groups(extensions: [UInt8], offersQuickGroup: Bool) {
        let (step, _) = Self.read(Self.records(Self.message(extensions: extensions)))
        var expected = Self.hello([0xC02F], false, false)
        expected.offersQuickGroup = offersQuickGroup
        #expect(step == .done(expected))
    }

    @Test("In records and pieces of any size the message is the same", arguments: [1, 2, 3, 4, 5, 6, 50, 16_384])
    func pieces(size: Int) {
        let message = Self.message([0xC02C, 0xCCA9, 0xCCA9, 0x002F], extensions: Self.protocols(["h2"]))
        for piece in [1, 7, Int.max] {
            let bytes = Self.records(message, of: size)
            let (step, given) = Self.read(bytes, by: piece)
            #expect(step == .done(Self.hello([0xC02C, 0xCCA9], true, false)))
            #expect(given == bytes.count)
        }
    }

    @Test("What comes behind the message in the same read is given on with it")
    func more() {
        let (step, given) = Self.read(Self.records(Self.message(extensions: [])) + [1, 2, 3])
        #expect(step == .done(Self.hello([0xC02F], false, false)))
        #expect(given == Self.records(Self.message(extensions: [])).count + 3)
    }

    @Test(
        "What is no such message goes to TLS, which answers it",
        arguments: [
            Array("GET / HTTP/1.1\r\n\r\n".utf8), [22, 3, 1, 0, 0], [22, 2, 1, 0, 5, 1], [21, 3, 3, 0, 2, 2, 40],
            records(message(extensions: [], type: 2)), records([1, 0xFF, 0xFF, 0xFF]), records([1, 0, 0, 0]),
            records([1, 0, 0, 40] + [UInt8](repeating: 0xFF, count: 40)),
            records(message(extensions: [0, 16, 0, 9])), records(message(extensions: [0, 16, 0, 2, 0, 9])),
            records(message(extensions: [0, 16, 0, 4, 0, 2, 9, 1])),
        ] as [[UInt8]])
    func malformed(bytes: [UInt8]) {
        #expect(Self.read(bytes).0 == .done(nil))
        #expect(Self.read(bytes, by: 1).0 == .done(nil))
    }

    @Test("A message without an end is given to TLS before it costs much")
    func endless() {
        let bytes = Self.records([1, 0, 0x3F, 0xFF] + [UInt8](repeating: 3, count: 0x3FFE), of: 1)
        let (step, given) = Self.read(bytes, by: 100)
        #expect(step == .done(nil))
        #expect(given <= ClientHelloReader.limit + 100)
    }

    @Test(
        "Of the suites that a client offers, ours come in our order",
        arguments: [
            ([], nil), ([0x002F], nil), ([0xC02F], 0), ([0xC02B], 0), ([0xC030], 1), ([0xCCA8], 2),
            ([0xCCA8, 0xC030, 0xC02F], 0), ([0xCCA9, 0xC02C], 1), ([0xC02B, 0xC02F, 0xCCA8, 0xCCA9], 0),
            // Which key is used is not known yet.
            ([0xC02B, 0xC030], nil), ([0xC02C, 0xCCA8], nil),
        ] as [(Set<UInt16>, Int?)])
    func order(offered: Set<UInt16>, choice: Int?) {
        #expect(CipherOrder.choice(offered) == choice)
    }
}

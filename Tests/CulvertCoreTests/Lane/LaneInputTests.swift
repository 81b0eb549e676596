import NIOCore
import Testing

@testable import CulvertCore

struct LaneInputTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private static func input() -> LaneInput {
        LaneInput(messageLimit: 1 << 20, batchLimit: 1 << 20, envelopeLimit: 1 << 21, fragmentLimit: nil)
    }

    private static func frame(_ opcode: Opcode, _ payload: ByteBuffer = ByteBuffer()) -> ByteBuffer {
        var frame = ByteBuffer()
        FrameWriter.write(opcode, payload: payload, mask: 0, into: &frame)
        return frame
    }

    /// An envelope without messages.
    private static func envelope(first: UInt64) -> ByteBuffer {
        Self.frame(.binary, PollCodec.encodeBinary(PollBatch(ack: 0, first: first)))
    }

    @Test("Envelopes are taken in order, as many as there is room for")
    func order() {
        var input = Self.input()
        for first in 1...3 { input.append(Self.envelope(first: UInt64(first))) }
        // There is room for the frame of the third, and none for what is in it.
        let first = input.take(3)
        #expect(first.batches.map(\.first) == [1, 2] && first.hasMore && first.cost == 3 && first.end == nil)
        #expect(input.envelopeBytes > 0)
        let second = input.take(2)
        #expect(second.batches.map(\.first) == [3] && !second.hasMore && second.cost == 0)
        #expect(input.envelopeBytes == 0)
    }

    @Test("A Close, or what is no envelope, ends the input behind what came before", arguments: [true, false])
    func end(isAnswer: Bool) {
        var input = Self.input()
        input.append(Self.envelope(first: 1))
        input.append(isAnswer ? Self.frame(.close) : Self.frame(.text))
        input.append(Self.envelope(first: 2))
        let taken = input.take(100)
        #expect(taken.batches.map(\.first) == [1])
        #expect(taken.end?.isAnswer == isAnswer)
        #expect(taken.end?.frame.code == (isAnswer ? nil : .unsupportedData))
        #expect(input.isDeaf)
    }

    @Test("Parts of an envelope are reported at most once in 100 ms, and only if more has come")
    func parts() {
        var input = Self.input()
        let frame = Self.frame(.binary, ByteBuffer(repeating: 0, count: 1000))
        func bring(_ range: Range<Int>) {
            input.append(ByteBuffer(bytes: frame.readableBytesView.dropFirst(range.lowerBound).prefix(range.count)))
            _ = input.take(100)
        }
        bring(0..<100)
        let first = [input.takeParts(now: Self.start), input.takeParts(now: Self.start)]
        bring(100..<200)
        let early = input.takeParts(now: Self.start + .milliseconds(99))
        let due = input.takeParts(now: Self.start + .milliseconds(100))
        let nothingNew = input.takeParts(now: Self.start + .seconds(9))
        #expect(first == [true, false] && !early && due && !nothingNew)
    }

    @Test("The latest ping is answered, once and when there is room, and all are counted")
    func pings() {
        var input = Self.input()
        input.append(Self.frame(.ping, ByteBuffer(string: "a")))
        input.append(Self.frame(.ping, ByteBuffer(string: "b")))
        let before = input.hasNewControls
        _ = input.take(100)
        #expect(!before && input.hasNewControls)
        input.keepPing()
        let full = input.takePong(isWritable: false)
        let pong = input.takePong(isWritable: true)
        let none = input.takePong(isWritable: true)
        var expected = ByteBuffer()
        FrameWriter.write(.pong, payload: ByteBuffer(string: "b"), mask: nil, into: &expected)
        #expect(full == nil && pong == expected && none == nil)
        let (new, pause) = input.countControls(now: Self.start)
        #expect(new.pings == 2 && pause == nil && !input.hasNewControls)
    }

    @Test("Attack: a client that sends very many pings is not read for a while, and has one line in the log")
    func flood() {
        var input = Self.input()
        for _ in 0..<2 * PeerControl.burst { input.append(Self.frame(.ping)) }
        _ = input.take(4 * PeerControl.burst)
        let (new, pause) = input.countControls(now: Self.start)
        #expect(new.frames == UInt64(2 * PeerControl.burst) && pause == .seconds(1))
        let excess = [input.isFirstExcess(), input.isFirstExcess()]
        #expect(excess == [true, false])
    }

    @Test("Behind the lane's Close only the client's Close counts, in what has come and in what comes")
    func closing() {
        var early = Self.input()
        early.append(Self.envelope(first: 1))
        early.append(Self.frame(.close))
        let isThere = early.close()
        #expect(isThere)

        var late = Self.input()
        late.append(ByteBuffer(bytes: Self.envelope(first: 1).readableBytesView.dropLast()))
        let isThereYet = late.close()
        let rest = late.search(ByteBuffer(bytes: Self.envelope(first: 1).readableBytesView.suffix(1)), isOfUse: true)
        let unheard = late.search(Self.envelope(first: 2), isOfUse: true)
        let close = late.search(Self.frame(.close), isOfUse: true)
        #expect(!isThereYet && rest == .goesOn && unheard == .goesOn && close == .isOver)
    }

    @Test("A Close that is of no use is not looked for, and 4 MiB end the search")
    func searching() {
        var input = Self.input()
        _ = input.close()
        let useless = input.search(Self.frame(.close), isOfUse: false)
        let most = input.search(ByteBuffer(repeating: 0, count: 4 << 20), isOfUse: false)
        #expect(useless == .goesOn && most == .tooMuch)
    }
}

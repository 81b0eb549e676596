import CulvertCore
import NIOCore
import Testing

@Suite("Frames of Culvert's own among those of the other side")
struct OwnFramesTests {
    /// What the other side has sent so far.
    enum Place: CaseIterable {
        case nothing, betweenMessages, betweenFragments, amidFrame

        var scanner: FrameScanner? {
            let bytes: [UInt8]
            switch self {
            case .nothing: return nil
            case .betweenMessages: bytes = WireBytes.frame(0x82, [1, 2])
            case .betweenFragments: bytes = WireBytes.frame(0x02, [1, 2])
            case .amidFrame: bytes = Array(WireBytes.frame(0x82, [1, 2]).dropLast())
            }
            var scanner = FrameScanner(sender: .server, messageLimit: 100, allowedRSV: 0, validateText: false)
            _ = bytes.withUnsafeBytes { scanner.scan($0, stopAtBoundary: false) }
            return scanner
        }
    }

    private static let ping = ByteBuffer(bytes: [0x89, 0])
    private static let close = ByteBuffer(bytes: [0x88, 0])

    @Test(
        "A frame waits for the end of a frame, or of a message where fragments are not to be parted",
        arguments: [
            (Place.nothing, false, true), (.nothing, true, true), (.betweenMessages, false, true),
            (.betweenMessages, true, true), (.betweenFragments, false, true), (.betweenFragments, true, false),
            (.amidFrame, false, false), (.amidFrame, true, false),
        ])
    func waits(place: Place, betweenMessages: Bool, passes: Bool) {
        var frames = OwnFrames()
        let isWritten = frames.passes(Self.ping, behind: place.scanner, betweenMessages: betweenMessages)
        #expect(isWritten == passes)
        #expect(frames.areWaiting == !passes)
        #expect(frames.waitForMessageEnd == betweenMessages)
        #expect(frames.take() == (passes ? nil : Self.ping))
        #expect(!frames.areWaiting)
    }

    @Test("Frames that wait come out together, in order, and once one waits for a message's end all do")
    func order() {
        var frames = OwnFrames()
        let written = [
            frames.passes(Self.ping, behind: Place.amidFrame.scanner, betweenMessages: false),
            frames.passes(Self.close, behind: Place.amidFrame.scanner, betweenMessages: true),
            frames.passes(Self.ping, behind: Place.betweenFragments.scanner, betweenMessages: false),
        ]
        #expect(written == [false, false, false])
        #expect(frames.take() == ByteBuffer(bytes: [0x89, 0, 0x88, 0, 0x89, 0]))
        #expect(frames.take() == nil)
    }

    @Test("What is dropped is not said, and the Close that was said stays said")
    func drop() {
        var frames = OwnFrames()
        #expect(!frames.haveSaidClose)
        frames.sayClose()
        _ = frames.passes(Self.close, behind: Place.amidFrame.scanner, betweenMessages: false)
        frames.drop()
        #expect(frames.haveSaidClose && !frames.areWaiting)
        #expect(frames.take() == nil)
    }

    @Test("Our direction ends behind the frames that wait, once; where none do, it ends now", arguments: [false, true])
    func last(areWaiting: Bool) {
        var frames = OwnFrames()
        if areWaiting { _ = frames.passes(Self.close, behind: Place.amidFrame.scanner, betweenMessages: false) }
        let isLater = frames.beLast()
        #expect(isLater == areWaiting)
        _ = frames.take()
        let ends = [frames.takeLast(), frames.takeLast()]
        #expect(ends == [areWaiting, false])
    }
}

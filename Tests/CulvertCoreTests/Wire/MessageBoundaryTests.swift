import CulvertCore
import Testing

@Suite("Where a frame of ours may be put in")
struct MessageBoundaryTests {
    @Test("A stream that is amid a message is not between two, though it is at a frame's end")
    func amid() {
        var scanner = FrameScanner(sender: .server, messageLimit: 100, allowedRSV: 0, validateText: false)
        let first = WireBytes.frame(0x01, [1, 2])
        _ = first.withUnsafeBytes { scanner.scan($0, stopAtBoundary: false) }
        #expect(scanner.isAtFrameBoundary && !scanner.isBetweenMessages)
        let next = WireBytes.frame(0x80, [3])
        let stop = next.withUnsafeBytes { scanner.scan($0, stopAtBoundary: true, betweenMessages: false) }
        #expect(stop.accepted == 0 && stop.stop == .boundary)
        let through = (next + WireBytes.frame(0x82, [4])).withUnsafeBytes {
            scanner.scan($0, stopAtBoundary: true, betweenMessages: true)
        }
        #expect(through.accepted == next.count && through.stop == .boundary)
        #expect(scanner.isBetweenMessages)
    }
}

import NIOCore
import Testing

@testable import CulvertCore

@Suite("Records of TLS in the bytes of a connection")
struct RecordFollowerTests {
    private static func record(_ length: Int, type: UInt8 = 23) -> [UInt8] {
        [type, 3, 3, UInt8(length >> 8), UInt8(length & 0xFF)] + [UInt8](repeating: 23, count: length)
    }

    private static func follow(_ follower: inout RecordFollower, _ bytes: [UInt8], most: Int = .max) -> [Int] {
        let (count, records) = bytes.withUnsafeBytes { follower.follow($0, most: most) }
        return [count, records]
    }

    @Test("Counts the ends of records, however the bytes are cut", arguments: [1, 2, 4, 5, 6, 23, 1000, 100_000])
    func pieces(size: Int) {
        let bytes =
            Self.record(0) + Self.record(1) + Self.record(18, type: 22) + Self.record(16_640)
            + Array(Self.record(300).dropLast())
        var follower = RecordFollower()
        var ended = 0
        for at in stride(from: 0, to: bytes.count, by: size) {
            ended += Self.follow(&follower, Array(bytes[at..<min(at + size, bytes.count)]))[1]
        }
        #expect(ended == 4)
        #expect(follower.begun == 304)
        #expect(!follower.isLost)
    }

    @Test("Stops at the end of as many records as it is to find, and goes on there")
    func most() {
        let bytes = (0..<10).flatMap { Self.record($0) }
        var follower = RecordFollower()
        #expect(Self.follow(&follower, bytes, most: 3) == [5 + 6 + 7, 3])
        #expect(Self.follow(&follower, Array(bytes[18...]), most: 7) == [bytes.count - 18, 7])
        #expect(Self.follow(&follower, [], most: 1) == [0, 0])
        #expect(follower.begun == 0)
    }

    @Test(
        "Attack: what is no record is counted by its bytes from there on, so that no record hides in it",
        arguments: [[0x80, 0x2E, 1, 3, 3], [22, 2, 1, 0, 5], [23, 3, 3, 0xFF, 0xFF], [25, 3, 3, 0, 1]] as [[UInt8]])
    func lost(start: [UInt8]) {
        var follower = RecordFollower()
        _ = Self.follow(&follower, start)
        #expect(follower.isLost)
        #expect(Self.follow(&follower, [UInt8](repeating: 0, count: 240)) == [240, 10])
        #expect(Self.follow(&follower, [UInt8](repeating: 0, count: 240), most: 3) == [72, 3])
        #expect(Self.follow(&follower, [0]) == [1, 1])
        // It never finds its place again.
        #expect(Self.follow(&follower, (0..<10).flatMap { _ in Self.record(0) }) == [50, 3])
    }
}

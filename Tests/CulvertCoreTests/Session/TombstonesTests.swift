import CulvertCore
import NIOCore
import Testing

@Suite("Remembered ends of sessions")
struct TombstonesTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private static func id(_ number: Int) -> SessionID {
        SessionID(node: 1, shard: 0, random: (UInt64(number), 0))
    }

    private static func stone(path: Int, until: NIODeadline = start + .seconds(60)) -> Tombstone {
        Tombstone(
            subject: "a", basePath: String(repeating: "x", count: path), host: nil,
            frame: CloseFrame(code: .normal), until: until)
    }

    @Test("Long paths are bounded by what they cost, short ones by their number", arguments: [1, 100, 16_000])
    func bounds(path: Int) {
        var stones = Tombstones(limit: 100, bytes: 100_000)
        for number in 0..<1000 {
            stones.add(Self.stone(path: path), for: Self.id(number), now: Self.start)
            #expect(stones.cost <= 100_000)
            #expect(stones.count <= 100)
        }
        #expect(stones.find(Self.id(999), now: Self.start) != nil)
        #expect(stones.find(Self.id(0), now: Self.start) == nil)
        #expect(stones.count >= min(100, 100_000 / (path + 400)))
    }

    @Test("One that is over is forgotten with the next")
    func over() {
        var stones = Tombstones()
        stones.add(Self.stone(path: 1, until: Self.start + .seconds(1)), for: Self.id(1), now: Self.start)
        #expect(stones.find(Self.id(1), now: Self.start) != nil)
        #expect(stones.find(Self.id(1), now: Self.start + .seconds(1)) == nil)
        stones.add(Self.stone(path: 1), for: Self.id(2), now: Self.start + .seconds(2))
        #expect(stones.count == 1)
    }

    @Test("One that costs more than all may cost is not kept")
    func tooLarge() {
        var stones = Tombstones(limit: 100, bytes: 1000)
        stones.add(Self.stone(path: 2000), for: Self.id(1), now: Self.start)
        #expect(stones.cost == 0)
        #expect(stones.count == 0)
    }
}

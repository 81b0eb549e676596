import Testing

@testable import CulvertCore

@Suite("Whether a peer is read")
struct PeerReadingTests {
    enum Event {
        case read, pause(PeerReading.Pause), resume(PeerReading.Pause), turnDeaf, stopUsing, drop(Int)
    }

    /// - Returns: the places, among the events, of those with which the connection reads.
    private static func reads(_ events: [Event]) -> [Int] {
        var reading = PeerReading()
        return events.indices.filter { index in
            switch events[index] {
            case .read: return reading.mayRead()
            case .resume(let reason): return reading.resume(reason)
            case .turnDeaf: return reading.turnDeaf()
            case .pause(let reason): _ = reading.pause(reason)
            case .stopUsing: reading.stopUsing()
            case .drop(let bytes): _ = reading.drop(bytes)
            }
            return false
        }
    }

    @Test(
        "It reads when the last pause ends, once, and only if a read is due",
        arguments: [
            ([.read, .resume(.notStarted), .read, .read], [1, 2, 3]),
            ([.resume(.notStarted)], []),
            ([.read, .pause(.windowFull), .resume(.notStarted), .resume(.windowFull), .resume(.windowFull)], [3]),
            ([.resume(.notStarted), .pause(.turn), .pause(.turn), .read, .read, .resume(.turn), .resume(.turn)], [5]),
            ([.resume(.notStarted), .pause(.turn), .read, .resume(.rateLimited), .resume(.turn)], [4]),
        ] as [([Event], [Int])])
    func pauses(events: [Event], reads: [Int]) {
        #expect(Self.reads(events) == reads)
    }

    @Test(
        "A deaf peer is read whatever has paused it, but for the rest behind what was read for nothing",
        arguments: [
            ([.pause(.peerNotWritable), .read, .turnDeaf, .read], [2, 3]),
            ([.turnDeaf, .pause(.memoryFull), .read], [2]),
            ([.resume(.notStarted), .drop(PeerReading.dropSlice), .read, .turnDeaf, .read, .resume(.dropping)], [5]),
            // One that is being closed stays as it was read.
            ([.read, .stopUsing, .pause(.turn), .resume(.notStarted)], [3]),
            ([.resume(.notStarted), .pause(.turn), .stopUsing, .read, .resume(.turn)], [4]),
        ] as [([Event], [Int])])
    func deaf(events: [Event], reads: [Int]) {
        #expect(Self.reads(events) == reads)
    }

    @Test(
        "A rest begins behind a MiB that was read for nothing, and no other while it lasts",
        arguments: [
            ([1 << 20], [true]), ([(1 << 20) - 1, 1, (1 << 20) - 1], [false, true, false]),
            ([2 << 20, 2 << 20], [true, false]), ([0, 16], [false, false]),
        ])
    func rests(dropped: [Int], begin: [Bool]) {
        var reading = PeerReading()
        #expect(dropped.map { reading.drop($0) } == begin)
    }

    @Test("Each reason has a bit of its own", arguments: PeerReading.Pause.allCases)
    func bits(reason: PeerReading.Pause) {
        var reading = PeerReading()
        _ = reading.resume(.notStarted)
        for other in PeerReading.Pause.allCases { _ = reading.pause(other) }
        for other in PeerReading.Pause.allCases where other != reason { _ = reading.resume(other) }
        #expect(reading.isPaused)
        _ = reading.resume(reason)
        #expect(!reading.isPaused)
    }
}

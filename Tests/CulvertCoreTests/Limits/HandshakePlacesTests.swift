import CulvertCore
import NIOCore
import Testing

@Suite("The places of handshakes")
struct HandshakePlacesTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    /// Begins a handshake that waits for its client at once.
    private static func begin(
        _ places: inout HandshakePlaces, of client: UInt32, most: Int?, at time: TimeAmount = .zero
    ) -> HandshakePlaces.Beginning {
        let beginning = places.begin(of: .v4(client), most: most, now: self.start + time)
        if case .begun(let number, _) = beginning { places.wait(number, isNew: true, now: self.start + time) }
        return beginning
    }

    @Test("With too many handshakes the longest wait for a client gives up its place, behind a second and not before")
    func oldest() {
        var places = HandshakePlaces(fewest: 32)
        for client in UInt32(0)..<40 {
            let begun = Self.begin(&places, of: client, most: 40, at: .milliseconds(Int64(client)))
            #expect(begun == .begun(UInt64(client) + 1, leaving: nil))
        }
        #expect(places.nextPlace == Self.start + .seconds(1))
        #expect(Self.begin(&places, of: 99, most: 40, at: .milliseconds(999)) == .full)
        // The first client has sent its next message.
        places.goOn(1)
        #expect(Self.begin(&places, of: 99, most: 40, at: .milliseconds(1000)) == .full)
        #expect(Self.begin(&places, of: 99, most: 40, at: .milliseconds(1001)) == .begun(41, leaving: 2))
        places.wait(1, isNew: true, now: Self.start + .milliseconds(1002))
        places.end(3)
        #expect(Self.begin(&places, of: 99, most: 40, at: .milliseconds(1003)) == .begun(42, leaving: nil))
        #expect(Self.begin(&places, of: 99, most: 40, at: .milliseconds(1003)) == .begun(43, leaving: 4))
        #expect(places.count == 40)
    }

    @Test("Parts of a message give a client no more time, and a handshake in the edge's hands does not leave")
    func parts() {
        var places = HandshakePlaces(fewest: 32)
        for client in UInt32(0)..<32 { _ = Self.begin(&places, of: client, most: 32) }
        for tenth in 1..<10 {
            let time = TimeAmount.milliseconds(Int64(tenth) * 100)
            for number in UInt64(1)...32 {
                places.goOn(number)
                places.wait(number, isNew: false, now: Self.start + time)
            }
            #expect(Self.begin(&places, of: 99, most: 32, at: time) == .full)
        }
        #expect(places.nextPlace == Self.start + .seconds(1))
        places.goOn(1)
        #expect(Self.begin(&places, of: 99, most: 32, at: .seconds(1)) == .begun(33, leaving: 2))
        // The edge has answered the first.
        places.wait(1, isNew: true, now: Self.start + .seconds(1))
        for number in UInt64(3)...32 { places.goOn(number) }
        #expect(Self.begin(&places, of: 98, most: 32, at: .milliseconds(1999)) == .full)
        places.wait(20, isNew: false, now: Self.start + .seconds(2))
        // It stands behind sixteen that the edge has in hand.
        #expect(Self.begin(&places, of: 98, most: 32, at: .seconds(2)) == .full)
        places.wait(5, isNew: false, now: Self.start + .seconds(2))
        #expect(Self.begin(&places, of: 98, most: 32, at: .seconds(2)) == .begun(34, leaving: 5))
    }

    @Test("A client has a quarter of the places, and takes its own handshakes' places beyond")
    func ownQuarter() {
        var places = HandshakePlaces(fewest: 32)
        #expect(Self.begin(&places, of: 1, most: 40) == .begun(1, leaving: nil))
        for number in 2...11 { #expect(Self.begin(&places, of: 2, most: 40) == .begun(UInt64(number), leaving: nil)) }
        for number in 12...1000 {
            #expect(
                Self.begin(&places, of: 2, most: 40) == .begun(UInt64(number), leaving: UInt64(number - 10)))
        }
        #expect(places.count == 11)
        places.end(1)
        #expect(places.count == 10)
    }

    @Test("Without a bound none gives up its place, and few places are 32")
    func bounds() {
        var places = HandshakePlaces(fewest: 32)
        for client in UInt32(0)..<1000 {
            #expect(Self.begin(&places, of: client, most: nil) == .begun(UInt64(client) + 1, leaving: nil))
        }
        var few = HandshakePlaces(fewest: 32)
        for client in UInt32(0)..<32 {
            #expect(Self.begin(&few, of: client, most: 1) == .begun(UInt64(client) + 1, leaving: nil))
        }
        #expect(Self.begin(&few, of: 32, most: 1) == .full)
        // A smaller bound than before, as a reload may bring it.
        #expect(Self.begin(&places, of: 2000, most: 40) == .full)
        #expect(Self.begin(&places, of: 2000, most: 40, at: .seconds(1)) == .begun(1001, leaving: 1))
    }

    @Test("Handshakes that end in any order leave nothing behind", arguments: [UInt64(1), 2, 3])
    func ends(seed: UInt64) {
        var places = HandshakePlaces(fewest: 32)
        var open: [UInt64] = []
        var random = seed
        for step in 0..<20_000 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let now = Self.start + .milliseconds(Int64(step))
            switch random >> 62 {
            case 0, 1:
                guard case .begun(let number, let leaving) = places.begin(
                    of: .v4(UInt32(random >> 40 % 7)), most: 200, now: now)
                else { continue }
                open.append(number)
                if let leaving { open.removeAll { $0 == leaving } }
            case 2:
                if let number = open.randomElement() { places.wait(number, isNew: random & 64 == 0, now: now) }
            default:
                guard !open.isEmpty else { continue }
                let number = open.remove(at: Int(random >> 33) % open.count)
                places.goOn(number)
                places.end(number)
            }
            #expect(places.count == open.count && places.count <= 200)
        }
        for number in open { places.end(number) }
        #expect(places.count == 0 && places.nextPlace == nil)
        places.end(1)
        places.wait(1, isNew: true, now: Self.start)
        #expect(places.count == 0)
    }
}

import CulvertCore
import Testing

struct SessionIDTests {
    @Test(
        "An identifier is read back from its text, whatever node, shard and randomness",
        arguments: 0..<50 as Range<UInt64>)
    func roundTrip(seed: UInt64) {
        var random = PollRandom(seed: seed)
        let id = SessionID(
            node: UInt16.random(in: 0...(.max), using: &random), shard: UInt8.random(in: 0...(.max), using: &random),
            random: (random.next(), random.next()))
        let read = SessionID(id.description)
        #expect(read == id)
        #expect(read?.node == id.node)
        #expect(read?.shard == id.shard)
    }

    @Test("Texts have one length and fit a path segment")
    func text() {
        let texts = [
            SessionID(node: 0, shard: 0, random: (0, 0)), SessionID(node: .max, shard: .max, random: (.max, .max)),
        ].map(\.description)
        #expect(Set(texts.map(\.utf8.count)).count == 1)
        let allowed = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        #expect(texts.allSatisfy { $0.allSatisfy(allowed.contains) })
    }

    @Test("Every bit of node, shard and randomness tells identifiers apart")
    func distinct() {
        var texts: Set<String> = [SessionID(node: 0, shard: 0, random: (0, 0)).description]
        for bit in 0..<16 { texts.insert(SessionID(node: 1 << UInt16(bit), shard: 0, random: (0, 0)).description) }
        for bit in 0..<8 { texts.insert(SessionID(node: 0, shard: 1 << UInt8(bit), random: (0, 0)).description) }
        for bit in 0..<64 {
            texts.insert(SessionID(node: 0, shard: 0, random: (1 << UInt64(bit), 0)).description)
            texts.insert(SessionID(node: 0, shard: 0, random: (0, 1 << UInt64(bit))).description)
        }
        #expect(texts.count == 1 + 16 + 8 + 128)
    }

    @Test("No text but the one that was given names a session")
    func mutations() {
        let text = SessionID(node: 7, shard: 3, random: (0xFFEE_DDCC_BBAA_9988, 0x0102_0304_0506_0708)).description
        #expect(SessionID(text + "A") == nil)
        #expect(SessionID(String(text.dropLast())) == nil)
        #expect(SessionID("") == nil)
        #expect(SessionID(" " + text.dropFirst()) == nil)
        #expect(SessionID(text.replacing("_", with: "/").replacing("-", with: "+") + "=") == nil)
        for index in text.indices {
            for symbol in "Aa0-_+/=%é" where text[index] != symbol {
                let changed = String(text[..<index]) + String(symbol) + text[text.index(after: index)...]
                #expect(SessionID(changed)?.description != text)
                if "+/=%é".contains(symbol) { #expect(SessionID(changed) == nil) }
            }
        }
    }
}

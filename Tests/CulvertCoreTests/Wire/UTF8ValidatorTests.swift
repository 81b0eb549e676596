import CulvertCore
import Testing

@Suite("UTF-8 validator")
struct UTF8ValidatorTests {
    /// Whether the pieces together are UTF-8; each masked as in one frame.
    private static func isValid(_ pieces: [[UInt8]], mask: UInt32 = 0) -> Bool {
        var validator = UTF8Validator()
        var offset = 0
        for piece in pieces {
            let turn = UInt32(offset & 3) * 8
            let rotated = turn == 0 ? mask : mask >> turn | mask << (32 - turn)
            let key = WireBytes.key(rotated)
            let masked = piece.enumerated().map { $1 ^ key[$0 % 4] }
            guard masked.withUnsafeBytes({ validator.consume($0, mask: rotated) }) else { return false }
            offset += piece.count
        }
        return validator.isComplete
    }

    private static func reference(_ bytes: [UInt8]) -> Bool {
        String(validating: bytes, as: UTF8.self) != nil
    }

    @Test("Agrees with the standard library on every pair of bytes, and on every triple and quadruple at a border")
    func exhaustive() {
        for first in UInt8.min ... .max {
            #expect(Self.isValid([[first]]) == Self.reference([first]))
            for second in UInt8.min ... .max where Self.isValid([[first, second]]) != Self.reference([first, second]) {
                Issue.record("\(first) \(second)")
            }
        }
        // Either side of every border in the table of RFC 3629 section 4.
        let edges: [UInt8] = [
            0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF,
            0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
        ]
        for a in edges {
            for b in edges {
                for c in edges {
                    let three = [a, b, c]
                    if Self.isValid([three]) != Self.reference(three) { Issue.record("\(three)") }
                    for d in edges where a >= 0xE0 {
                        let four = three + [d]
                        if Self.isValid([four]) != Self.reference(four) { Issue.record("\(four)") }
                    }
                }
            }
        }
    }

    @Test("Agrees with the standard library on random text and noise, masked and in pieces", arguments: [UInt64](1...4))
    func random(seed: UInt64) {
        var random = WireRandom(seed: seed)
        var valid = 0
        for round in 0..<1000 {
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 0...12, using: &random) {
                switch Int.random(in: 0..<12, using: &random) {
                case 0: bytes += random.bytes(1)
                case 1...4: bytes += [UInt8](repeating: 0x61, count: Int.random(in: 1...20, using: &random))
                case 5...6: bytes += Array("é".utf8)
                case 7...8: bytes += Array("€".utf8)
                default: bytes += Array("𝄞".utf8)
                }
            }
            let expected = Self.reference(bytes)
            valid += expected ? 1 : 0
            let mask = UInt32.random(in: 0 ... .max, using: &random)
            #expect(Self.isValid([bytes]) == expected, "seed \(seed), round \(round)")
            #expect(Self.isValid([bytes], mask: mask) == expected, "seed \(seed), round \(round), masked")
            let pieces = WireBytes.chunks(bytes, using: &random)
            #expect(Self.isValid(pieces, mask: mask) == expected, "seed \(seed), round \(round), pieces")
        }
        // Both kinds came up.
        #expect((100...900).contains(valid))
    }

    @Test("One bad byte is found at any place among ASCII", arguments: [0, WireBytes.mask])
    func anyPlace(mask: UInt32) {
        for count in 1...40 {
            for place in 0..<count {
                var bytes = [UInt8](repeating: 0x7A, count: count)
                bytes[place] = 0xFF
                #expect(!Self.isValid([bytes], mask: mask), "\(place) of \(count)")
            }
        }
    }

    @Test(
        "Fails at the first byte that nothing can repair",
        arguments: [
            [0x80], [0xC0], [0xC1], [0xF5], [0xFF], [0xC2, 0x41], [0xE0, 0x9F], [0xED, 0xA0], [0xF0, 0x8F],
            [0xF4, 0x90],
            [0xE2, 0x82, 0x41], [0xF0, 0x9F, 0x98, 0xC0],
        ] as [[UInt8]])
    func failsFast(bytes: [UInt8]) {
        var validator = UTF8Validator()
        let head = Array(bytes.dropLast())
        let tail = Array(bytes.suffix(1))
        #expect(head.withUnsafeBytes { validator.consume($0) })
        #expect(!tail.withUnsafeBytes { validator.consume($0) })
    }

    @Test("Is complete only between characters; reset forgets half a character")
    func completeness() {
        var validator = UTF8Validator()
        #expect(validator.isComplete)
        for (byte, complete) in zip(Array("a𝄞€".utf8), [true, false, false, false, true, false, false, true]) {
            #expect([byte].withUnsafeBytes { validator.consume($0) })
            #expect(validator.isComplete == complete)
        }
        #expect([UInt8]([0xE0]).withUnsafeBytes { validator.consume($0) })
        validator.reset()
        #expect(validator == UTF8Validator())
        #expect([UInt8]([0x41]).withUnsafeBytes { validator.consume($0) })
    }
}

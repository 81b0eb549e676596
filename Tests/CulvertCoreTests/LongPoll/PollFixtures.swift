import CulvertCore
import NIOCore

/// SplitMix64: the same run for the same seed.
struct PollRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        self.state = seed
    }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var z = self.state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func chance(_ percent: Int) -> Bool {
        Int.random(in: 0..<100, using: &self) < percent
    }

    /// Text that is awkward in JSON, or any bytes; lengths on both sides of the borders of RFC 6455 5.2.
    mutating func message() -> PollMessage {
        let length = [0, 1, 2, 3, 17, 124, 125, 126, 127, 300, 65_535, 65_536].randomElement(using: &self) ?? 0
        if self.chance(50) {
            let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &self) }
            return PollMessage(opcode: .binary, payload: ByteBuffer(bytes: bytes))
        }
        let alphabet = Array("a\"\\/\u{0}\u{1}\u{1F}\n\r\t\u{8}\u{C}\u{7F}é€😀\u{2028}\u{FEFF}".unicodeScalars)
        var text = ""
        for _ in 0..<min(length, 400) { text.unicodeScalars.append(alphabet.randomElement(using: &self) ?? "a") }
        return PollMessage(opcode: .text, payload: ByteBuffer(string: text))
    }
}

func textMessage(_ text: String) -> PollMessage {
    PollMessage(opcode: .text, payload: ByteBuffer(string: text))
}

/// What `decode` refuses, nil when it takes it.
func problem(_ decode: () throws(PollProblem) -> PollBatch) -> PollProblem? {
    do throws(PollProblem) {
        _ = try decode()
        return nil
    } catch {
        return error
    }
}

import Crypto
import Foundation

/// Masking keys for the frames that Culvert sends to upstreams: unpredictable, as RFC 6455 5.3 asks.
///
/// They are the key stream of ChaCha20 under a key that is drawn from the system for each 4 KiB of them, so that a
/// batch of very many messages makes no system call for each. Each event loop has a source of its own.
struct MaskSource {
    private static let size = 4096

    private var keys: [UInt32] = []

    mutating func next() -> UInt32 {
        if let key = self.keys.popLast() { return key }
        self.draw()
        return self.keys.popLast() ?? .random(in: .min ... .max)
    }

    private mutating func draw() {
        // The key and the nonce are random, and used for this alone.
        let zeros = Data(count: Self.size)
        guard let sealed = try? ChaChaPoly.seal(zeros, using: SymmetricKey(size: .bits256)) else { return }
        self.keys = sealed.ciphertext.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: 4).map { bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self) }
        }
    }
}

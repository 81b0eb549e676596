package import NIOCore

/// The numbers that a binary batch carries, found out from the headers of its frames. A batch that brings nothing new
/// is answered by its outline, and its messages are never taken apart.
package struct BatchOutline: Equatable, Sendable {
    package var ack: UInt64
    package var first: UInt64
    /// How many messages the batch has.
    package var count: Int
    package var hasClose: Bool

    package init(ack: UInt64, first: UInt64, count: Int, hasClose: Bool) {
        self.ack = ack
        self.first = first
        self.count = count
        self.hasClose = hasClose
    }

    /// The outline of `body`; nil where the headers are not all those of a batch. ``BinaryBatchReader`` tells what is
    /// wrong with such a body. A batch of too many messages is refused here.
    ///
    /// - Parameter batchLimit: as of ``BinaryBatchReader``.
    package static func of(_ body: ByteBuffer, batchLimit: Int) throws(PollProblem) -> BatchOutline? {
        guard let ack = body.getInteger(at: body.readerIndex, as: UInt64.self),
            let first = body.getInteger(at: body.readerIndex + 8, as: UInt64.self)
        else { return nil }
        let most = max(1, batchLimit / PollMessage.overhead)
        var outline = BatchOutline(ack: ack, first: first, count: 0, hasClose: false)
        let isWhole = body.withUnsafeReadableBytes { outline.readHeaders($0, most: most) }
        guard isWhole else { return nil }
        if outline.count > most { throw BatchBudget.batchTooLarge }
        if outline.count > 0, first == 0 { throw BatchBudget.numberedFromZero }
        return outline
    }

    /// Counts the frames behind the first 16 bytes, to the first message that is too many.
    ///
    /// - Returns: whether they are the frames of a batch, as far as their headers tell.
    private mutating func readHeaders(_ bytes: UnsafeRawBufferPointer, most: Int) -> Bool {
        var index = 16
        while index < bytes.count, self.count <= most {
            let left = bytes.count - index
            guard !self.hasClose, left >= 2 else { return false }
            switch bytes[index] {
            case 0x81, 0x82: self.count += 1
            case 0x88: self.hasClose = true
            default: return false
            }
            let short = Int(bytes[index + 1])
            var length = 2
            switch short {
            case 0...125:
                length += short
            case 126:
                guard left >= 4 else { return false }
                length += 2 + Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: index + 2, as: UInt16.self)))
            case 127:
                guard left >= 10 else { return false }
                let wide = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: index + 2, as: UInt64.self))
                guard let exact = Int(exactly: wide), exact <= left else { return false }
                length += 8 + exact
            default:
                // A mask, which a batch has none of.
                return false
            }
            guard length <= left else { return false }
            index += length
        }
        return true
    }
}

package import NIOCore

/// Writes frames and applies masks (RFC 6455 sections 5.2 and 5.3).
package enum FrameWriter {
    /// Appends one frame. `mask` as in ``FrameHeader/mask``.
    package static func write(
        _ opcode: Opcode, fin: Bool = true, payload: ByteBuffer, mask: UInt32?, into out: inout ByteBuffer
    ) {
        payload.withUnsafeReadableBytes {
            self.write(opcode, fin: fin, payload: $0, mask: mask, into: &out)
        }
    }

    package static func write(
        _ opcode: Opcode, fin: Bool = true, payload: UnsafeRawBufferPointer, mask: UInt32?, into out: inout ByteBuffer
    ) {
        let count = payload.count
        out.reserveCapacity(minimumWritableBytes: count + 14)
        self.writeHeader(opcode, fin: fin, isMasked: mask != nil, payload: count, into: &out)
        guard let mask else {
            out.writeBytes(payload)
            return
        }
        out.writeInteger(mask, endianness: .little)
        let start = out.writerIndex
        out.writeBytes(payload)
        self.toggle(&out, from: start, count: count, mask: mask)
    }

    /// Bytes of an unmasked frame with `payload` bytes of payload.
    package static func length(payload: Int) -> Int { payload + (payload < 126 ? 2 : payload <= 0xFFFF ? 4 : 10) }

    /// All but the masking key.
    package static func writeHeader(
        _ opcode: Opcode, fin: Bool = true, isMasked: Bool = false, payload count: Int, into out: inout ByteBuffer
    ) {
        out.writeInteger((fin ? 0x80 : 0) | opcode.rawValue)
        let flag: UInt8 = isMasked ? 0x80 : 0
        switch count {
        case 0...125:
            out.writeInteger(flag | UInt8(truncatingIfNeeded: count))
        case 126...0xFFFF:
            out.writeInteger(flag | 126)
            out.writeInteger(UInt16(truncatingIfNeeded: count))
        default:
            out.writeInteger(flag | 127)
            out.writeInteger(UInt64(truncatingIfNeeded: count))
        }
    }

    package static func close(_ frame: CloseFrame, mask: UInt32?, into out: inout ByteBuffer) {
        frame.payload().withUnsafeBytes { self.write(.close, payload: $0, mask: mask, into: &out) }
    }

    /// XORs `count` bytes at `index` with the mask; done twice it is undone. Out of range does nothing.
    package static func toggle(_ buffer: inout ByteBuffer, from index: Int, count: Int, mask: UInt32) {
        let offset = index - buffer.readerIndex
        guard offset >= 0, count > 0, offset + count <= buffer.readableBytes else { return }
        buffer.withUnsafeMutableReadableBytes { bytes in
            self.toggle(UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<offset + count]), mask: mask)
        }
    }

    /// Word by word: eight bytes at a time.
    package static func toggle(_ bytes: UnsafeMutableRawBufferPointer, mask: UInt32) {
        let wide = (UInt64(mask) | UInt64(mask) << 32).littleEndian
        var index = 0
        while bytes.count - index >= 8 {
            let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            bytes.storeBytes(of: word ^ wide, toByteOffset: index, as: UInt64.self)
            index += 8
        }
        while index < bytes.count {
            bytes[index] ^= UInt8(truncatingIfNeeded: mask >> UInt32((index & 3) * 8))
            index += 1
        }
    }
}

/// Header of one frame (RFC 6455 section 5.2).
package struct FrameHeader: Equatable, Sendable {
    package var fin: Bool
    /// RSV1, RSV2, RSV3 as bits 4, 2, 1.
    package var rsv: UInt8
    package var opcode: Opcode
    /// The masking key as its four bytes in wire order, the first in the lowest eight bits; nil when unmasked.
    package var mask: UInt32?
    /// Bytes.
    package var payloadLength: Int
    /// Bytes, 2...14.
    package var headerLength: Int

    package var frameLength: Int { self.headerLength + self.payloadLength }

    /// The longest control frame: 14 bytes at most of header (a control frame needs 6), 125 of payload.
    package static let longestCarry = 139

    package init(fin: Bool, rsv: UInt8, opcode: Opcode, mask: UInt32?, payloadLength: Int, headerLength: Int) {
        self.fin = fin
        self.rsv = rsv
        self.opcode = opcode
        self.mask = mask
        self.payloadLength = payloadLength
        self.headerLength = headerLength
    }
}

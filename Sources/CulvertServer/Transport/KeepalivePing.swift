import CulvertCore
import NIOCore

/// Culvert's own pings: their payload tells their pongs from those that answer an application.
enum KeepalivePing {
    private static let payload: [UInt8] = Array("culvert-keepalive\u{1}\u{7f}".utf8)

    static func frame(mask: UInt32?) -> ByteBuffer {
        var out = ByteBuffer()
        self.payload.withUnsafeBytes { FrameWriter.write(.ping, payload: $0, mask: mask, into: &out) }
        return out
    }

    static func isOurs(_ frame: ByteBuffer, _ header: FrameHeader) -> Bool {
        guard header.payloadLength == self.payload.count else { return false }
        var bytes = Array(frame.readableBytesView.dropFirst(header.headerLength))
        if let mask = header.mask { bytes.withUnsafeMutableBytes { FrameWriter.toggle($0, mask: mask) } }
        return bytes == self.payload
    }

    static func isOurs(payload: ByteBuffer) -> Bool {
        payload.readableBytesView.elementsEqual(self.payload)
    }
}

package import NIOCore

/// Culvert's own pings: their payload tells their pongs from those that answer an application.
package enum KeepalivePing {
    package static let payload: [UInt8] = Array("culvert-keepalive\u{1}\u{7f}".utf8)

    package static func frame(mask: UInt32?) -> ByteBuffer {
        var out = ByteBuffer()
        self.payload.withUnsafeBytes { FrameWriter.write(.ping, payload: $0, mask: mask, into: &out) }
        return out
    }
}

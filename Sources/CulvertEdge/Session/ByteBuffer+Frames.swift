import CulvertCore
import NIOCore

extension ByteBuffer {
    /// A Close of Culvert's for the peer of a leg.
    static func close(_ frame: CloseFrame, to peer: Endpoint) -> ByteBuffer {
        var bytes = ByteBuffer()
        FrameWriter.close(frame, mask: peer == .server ? .random(in: .min ... .max) : nil, into: &bytes)
        return bytes
    }

    /// Messages of a client in frames for its upstream.
    static func clientFrames(of messages: ArraySlice<PollMessage>, masks: inout MaskSource) -> ByteBuffer {
        var bytes = ByteBuffer()
        for message in messages {
            FrameWriter.write(message.opcode, payload: message.payload, mask: masks.next(), into: &bytes)
        }
        return bytes
    }
}

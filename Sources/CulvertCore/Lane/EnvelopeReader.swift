import NIOCore

/// Reads the envelopes of a lane out of its client's messages, so many frames and messages at a time. Owned by
/// the lane's ``LaneInput``, which calls it for each read.
struct EnvelopeReader {
    enum Step {
        /// Everything that has come is read.
        case needMore
        /// There may be more input, for which there is no room now.
        case noRoom
        case batch(PollBatch)
        /// The lane ends: its client has sent a Close, or a message that is not an envelope.
        case end(CloseFrame, isAnswer: Bool)
    }

    private let messageLimit: Int
    private let batchLimit: Int
    /// The reader of the envelope that is read in part.
    private var reader: BinaryBatchReader?
    /// The number of the last message that the lane has brought.
    private var last: UInt64 = 0
    /// Bytes of an envelope from which on its numbers are looked at before its messages are taken apart.
    private static let large = 4 * 1024

    init(messageLimit: Int, batchLimit: Int) {
        self.messageLimit = messageLimit
        self.batchLimit = batchLimit
    }

    /// Bytes of memory that an envelope takes which is read in part.
    var heldBytes: Int { self.reader?.heldBytes ?? 0 }

    /// Drops the envelope that is read in part.
    mutating func drop() { self.reader = nil }

    /// - Parameter room: frames of the client's, and messages in its envelopes, that may still be read.
    mutating func next(_ assembler: inout MessageAssembler, room: inout Int) -> Step {
        while true {
            do throws(PollProblem) {
                if let batch = try self.readOn(&room) { return .batch(batch) }
                // Without a reader the envelope before is read to its end.
                guard self.reader == nil else { return .noRoom }
                switch assembler.next(room: &room) {
                case .needMore: return .needMore
                case .noRoom: return .noRoom
                case .message(.binary, let payload):
                    if let outline = try self.outlineOfOld(payload) {
                        room -= outline.count / 32
                        return .batch(PollBatch(ack: outline.ack, first: self.last &+ 1))
                    }
                    self.reader = try BinaryBatchReader(
                        payload, messageLimit: self.messageLimit, batchLimit: self.batchLimit)
                case .message:
                    return .end(
                        CloseFrame(code: .unsupportedData, reason: "an envelope is a binary message"), isAnswer: false)
                case .control(.close, let payload):
                    // The lane's end, which is not the session's.
                    let frame = try? CloseFrame.parse(payload: payload.readableBytesView)
                    return .end(frame ?? CloseFrame(code: nil), isAnswer: true)
                case .control: break
                case .violation(.messageTooBig, _):
                    let reason = "an envelope is longer than max_message and max_batch allow"
                    return .end(CloseFrame(code: .messageTooBig, reason: reason), isAnswer: false)
                case .violation(let code, let why): return .end(CloseFrame(code: code, reason: why), isAnswer: false)
                }
            } catch {
                self.reader = nil
                let code: CloseCode = error.status == 413 ? .messageTooBig : .protocolError
                return .end(CloseFrame(code: code, reason: error.detail), isAnswer: false)
            }
        }
    }

    /// - Returns: the envelope, once it is read to its end. Nil without an envelope, and if there is no room for its
    ///   rest.
    private mutating func readOn(_ room: inout Int) throws(PollProblem) -> PollBatch? {
        guard let before = self.reader?.count, room > 0 else { return nil }
        guard let batch = try self.reader?.read(room) else {
            room = 0
            return nil
        }
        self.reader = nil
        room -= batch.messages.count - before
        self.last = max(self.last, Self.end(first: batch.first, count: batch.messages.count))
        return batch
    }

    /// The outline of a large envelope that brings nothing but what the lane has brought before; nil for any other. A
    /// client sends a message once on a lane, and what it sends again is not taken apart again.
    private func outlineOfOld(_ payload: ByteBuffer) throws(PollProblem) -> BatchOutline? {
        guard payload.readableBytes > Self.large,
            let outline = try BatchOutline.of(payload, batchLimit: self.batchLimit),
            !outline.hasClose, outline.count > 0, outline.first > 0,
            Self.end(first: outline.first, count: outline.count) <= self.last
        else { return nil }
        return outline
    }

    /// The number of the last of `count` messages; the number in front of `first` where there is none.
    private static func end(first: UInt64, count: Int) -> UInt64 {
        guard first > 0 else { return 0 }
        let (sum, overflow) = (first - 1).addingReportingOverflow(UInt64(count))
        return overflow ? .max : sum
    }
}

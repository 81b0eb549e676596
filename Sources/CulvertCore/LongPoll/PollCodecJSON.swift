import Foundation
package import NIOCore

/// The JSON form, for people and for scripts that would rather not count bytes.
private struct WireBatch: Decodable {
    struct Message: Decodable {
        var text: String?
        var binary: String?

        init(from decoder: any Decoder) throws {
            let members = try Members(decoder, ["text", "binary"])
            self.text = try members["text"]
            self.binary = try members["binary"]
        }
    }
    struct Close: Decodable {
        var code: UInt16?
        var reason: String?

        init(from decoder: any Decoder) throws {
            let members = try Members(decoder, ["code", "reason"])
            self.code = try members["code"]
            self.reason = try members["reason"]
        }
    }
    var ack: UInt64?
    var first: UInt64?
    var messages: [Message]?
    var close: Close?

    init(from decoder: any Decoder) throws {
        let members = try Members(decoder, ["ack", "first", "messages", "close"])
        self.ack = try members["ack"]
        self.first = try members["first"]
        self.messages = try members["messages"]
        self.close = try members["close"]
    }
}

/// The members of an object of known shape: an unknown one is an error, so that a misspelt one is not lost without a
/// word.
private struct Members {
    struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    private let container: KeyedDecodingContainer<Key>

    init(_ decoder: any Decoder, _ names: Set<String>) throws {
        self.container = try decoder.container(keyedBy: Key.self)
        for key in self.container.allKeys where !names.contains(key.stringValue) {
            // The peer chose the name's length, not that of our answer.
            throw self.error(Key(stringValue: String(key.stringValue.unicodeScalars.prefix(32))))
        }
    }

    subscript<Value: Decodable>(name: String) -> Value? {
        get throws {
            let key = Key(stringValue: name)
            do {
                return try self.container.decodeIfPresent(Value.self, forKey: key)
            } catch let error where !(error is DecodingError) {
                // For a number that does not fit Foundation throws an error of its own, without its place.
                throw self.error(key)
            }
        }
    }

    private func error(_ key: Key) -> DecodingError {
        .dataCorrupted(.init(codingPath: self.container.codingPath + [key], debugDescription: ""))
    }
}

extension PollCodec {
    package static func encodeJSON(_ batch: PollBatch) -> ByteBuffer {
        var text = "{\"ack\":\(batch.ack),\"first\":\(batch.first),\"messages\":["
        for (index, message) in batch.messages.enumerated() {
            if index > 0 { text += "," }
            if message.opcode == .text {
                text += "{\"text\":" + Problem.quote(String(decoding: message.payload.readableBytesView, as: UTF8.self))
            } else {
                text += "{\"binary\":\"" + Data(message.payload.readableBytesView).base64EncodedString() + "\""
            }
            text += "}"
        }
        text += "]"
        if let close = batch.close {
            // Through the frame's payload, so that both forms drop and cut the same.
            let sent = (try? CloseFrame.parse(payload: close.payload())) ?? CloseFrame(code: nil)
            let code = sent.code.map { "\"code\":\($0.rawValue)," } ?? ""
            text += ",\"close\":{\(code)\"reason\":\(Problem.quote(sent.reason))}"
        }
        return ByteBuffer(string: text + "}\n")
    }

    /// All members are optional, but `first` is needed beside messages.
    package static func decodeJSON(_ body: ByteBuffer, messageLimit: Int) throws(PollProblem) -> PollBatch {
        let wire: WireBatch
        do {
            wire = try JSONDecoder().decode(WireBatch.self, from: Data(body.readableBytesView))
        } catch {
            throw PollProblem(400, self.explain(error))
        }
        var batch = PollBatch(ack: wire.ack ?? 0, first: wire.first ?? 0)
        for (index, message) in (wire.messages ?? []).enumerated() {
            switch (message.text, message.binary) {
            case (let text?, nil):
                batch.messages.append(PollMessage(opcode: .text, payload: ByteBuffer(string: text)))
            case (nil, let binary?):
                guard let data = Data(base64Encoded: binary) else {
                    throw PollProblem(400, "messages[\(index)].binary is not base64.")
                }
                batch.messages.append(PollMessage(opcode: .binary, payload: ByteBuffer(bytes: data)))
            default:
                throw PollProblem(400, "messages[\(index)] needs either text or binary.")
            }
            if batch.messages[index].payload.readableBytes > messageLimit {
                throw PollProblem(413, "messages[\(index)] is longer than max_message.")
            }
        }
        if !batch.messages.isEmpty, wire.first == nil { throw PollProblem(400, "first is needed beside messages.") }
        if let close = wire.close {
            let frame = CloseFrame(code: close.code.map(CloseCode.init(rawValue:)), reason: close.reason ?? "")
            batch.close = try self.checkClose(frame)
        }
        return batch
    }

    /// What a client may close with, from JSON or from the query of a DELETE.
    package static func checkClose(_ frame: CloseFrame) throws(PollProblem) -> CloseFrame {
        if let code = frame.code, !code.mayAppearOnWire {
            throw PollProblem(400, "close code \(code.rawValue) may not be sent.")
        }
        // RFC 6455 5.5.1: the reason follows the code.
        if frame.code == nil, !frame.reason.isEmpty { throw PollProblem(400, "A close.reason needs a close.code.") }
        guard frame.reason.utf8.count <= 123 else { throw PollProblem(400, "A close reason has at most 123 bytes.") }
        return frame
    }

    private static func explain(_ error: any Error) -> String {
        let context: DecodingError.Context? =
            switch error as? DecodingError {
            case .typeMismatch(_, let context)?, .valueNotFound(_, let context)?, .keyNotFound(_, let context)?,
                .dataCorrupted(let context)?:
                context
            default: nil
            }
        guard let context, !context.codingPath.isEmpty else { return "The body is not a JSON batch." }
        let path = context.codingPath.reduce("") { path, key in
            key.intValue.map { "\(path)[\($0)]" } ?? (path.isEmpty ? key.stringValue : "\(path).\(key.stringValue)")
        }
        return "\(path) is not what a batch has there."
    }
}

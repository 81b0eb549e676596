import Crypto
import Foundation

/// The opening handshake (RFC 6455 section 4), on plain strings.
package enum Handshake {
    package enum RequestProblem: Equatable, Sendable {
        case notGet
        /// To be answered 426 with `Sec-WebSocket-Version: 13` (RFC 6455 4.4).
        case version
        case key
    }

    /// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455 4.2.2, item 5.4).
    package static func acceptKey(for key: String) -> String {
        let digest = Insecure.SHA1.hash(data: Data((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))
        return Data(digest).base64EncodedString()
    }

    /// A `Sec-WebSocket-Key` of 16 random bytes.
    package static func key(from random: (UInt64, UInt64)) -> String {
        var bytes = Data()
        withUnsafeBytes(of: random.0) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: random.1) { bytes.append(contentsOf: $0) }
        return bytes.base64EncodedString()
    }

    package static func isValidKey(_ key: String) -> Bool {
        Data(base64Encoded: key)?.count == 16
    }

    /// The members of a comma-separated header that may come in several lines (RFC 9110 5.6.1), quoted strings kept
    /// whole.
    package static func listTokens(_ values: [String]) -> [String] {
        values.flatMap { value -> [String] in
            // By bytes: a combining mark behind a comma makes another character of it, but not another delimiter.
            var members: [[UInt8]] = [[]]
            var isQuoted = false
            var isEscaped = false
            for byte in value.utf8 {
                if byte == UInt8(ascii: ","), !isQuoted {
                    members.append([])
                    continue
                }
                // RFC 9110 5.6.4: within a quoted string a backslash takes the meaning off what follows.
                if byte == UInt8(ascii: "\""), !isEscaped { isQuoted.toggle() }
                isEscaped = isQuoted && !isEscaped && byte == UInt8(ascii: "\\")
                members[members.count - 1].append(byte)
            }
            return members.map { member in
                let isSpace: (UInt8) -> Bool = { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
                let trimmed = member.drop(while: isSpace).reversed().drop(while: isSpace).reversed()
                return String(decoding: trimmed, as: UTF8.self)
            }
        }
        .filter { !$0.isEmpty }
    }

    /// Bits of ``FrameHeader/rsv`` that the accepted extensions use. permessage-deflate uses RSV1 (RFC 7692 section 6);
    /// of an unknown extension nothing is known, so all three are allowed.
    package static func reservedBits(forExtensions accepted: [String]) -> UInt8 {
        self.extensionNames(accepted).reduce(0) { bits, name in
            bits | (name == "permessage-deflate" ? 4 : 7)
        }
    }

    /// A server may only accept what was offered (RFC 6455 4.1).
    package static func isSubset(acceptedExtensions: [String], offered: [String]) -> Bool {
        Set(self.extensionNames(acceptedExtensions)).isSubset(of: self.extensionNames(offered))
    }

    private static func extensionNames(_ values: [String]) -> [String] {
        self.listTokens(values).map { member in
            let name = member.prefix { $0 != ";" }
            return name.trimmingCharacters(in: .whitespaces).lowercased()
        }
    }

    /// Whether a request asks for WebSocket at all; ``check(method:version:keys:)`` says whether it does so rightly.
    package static func isUpgrade(connection: [String], upgrade: [String]) -> Bool {
        self.listTokens(connection).contains { $0.lowercased() == "upgrade" }
            && self.listTokens(upgrade).contains { $0.lowercased() == "websocket" }
    }

    package static func check(method: String, version: [String], keys: [String]) -> RequestProblem? {
        guard method == "GET" else { return .notGet }
        guard version == ["13"] else { return .version }
        guard keys.count == 1, let key = keys.first, self.isValidKey(key) else { return .key }
        return nil
    }

    /// What is wrong with an upstream's 101 (RFC 6455 4.1); nil when nothing is.
    package static func checkResponse(
        connection: [String], upgrade: [String], accept: [String], protocols: [String], extensions: [String],
        key: String, offeredProtocols: [String], offeredExtensions: [String]
    ) -> String? {
        guard self.isUpgrade(connection: connection, upgrade: upgrade) else { return "no upgrade to websocket" }
        guard accept == [self.acceptKey(for: key)] else { return "wrong Sec-WebSocket-Accept" }
        guard protocols.count <= 1, protocols.allSatisfy(offeredProtocols.contains) else {
            return "a subprotocol that was not offered"
        }
        guard self.isSubset(acceptedExtensions: extensions, offered: offeredExtensions) else {
            return "an extension that was not offered"
        }
        return nil
    }
}

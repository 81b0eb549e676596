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
    package static func listTokens(_ values: [String]) -> [String] { FieldValue.list(values) }

    /// Bits of ``FrameHeader/rsv`` that the accepted extensions use. permessage-deflate uses RSV1 (RFC 7692 section 6);
    /// of an unknown extension nothing is known, so all three are allowed.
    package static func reservedBits(forExtensions accepted: [String]) -> UInt8 {
        var bits: UInt8 = 0
        FieldValue.forEach(accepted) { member in
            bits |= FieldValue.essence(of: member).equalsIgnoringCase("permessage-deflate") ? 4 : 7
            return bits != 7
        }
        return bits
    }

    /// Extensions that an upstream may accept. Each is looked for among those that were offered.
    private static let mostExtensions = 8

    /// A server may only accept what was offered (RFC 6455 4.1).
    package static func isSubset(acceptedExtensions: [String], offered: [String]) -> Bool {
        var count = 0
        var isSubset = true
        FieldValue.forEach(acceptedExtensions) { member in
            count += 1
            let name = String(decoding: FieldValue.essence(of: member), as: UTF8.self)
            isSubset = count <= self.mostExtensions && FieldValue.containsEssence(offered, name)
            return isSubset
        }
        return isSubset
    }

    /// Whether a request asks for WebSocket at all; ``check(method:version:keys:)`` says whether it does so rightly.
    package static func isUpgrade(connection: [String], upgrade: [String]) -> Bool {
        FieldValue.contains(connection, "upgrade") && FieldValue.contains(upgrade, "websocket")
    }

    package static func check(method: String, version: [String], keys: [String]) -> RequestProblem? {
        guard method == "GET" else { return .notGet }
        guard version.count == 1, version[0].equals("13") else { return .version }
        guard keys.count == 1, let key = keys.first, self.isValidKey(key) else { return .key }
        return nil
    }

    /// Returns the fault of an upstream's 101 (RFC 6455 4.1); nil if it has none.
    package static func checkResponse(
        connection: [String], upgrade: [String], accept: [String], protocols: [String], extensions: [String],
        key: String, offeredProtocols: [String], offeredExtensions: [String]
    ) -> String? {
        guard !FieldValue.isLong(connection) else { return "too many members of Connection" }
        guard self.isUpgrade(connection: connection, upgrade: upgrade) else { return "no upgrade to websocket" }
        guard accept.count == 1, accept[0].equals(self.acceptKey(for: key)) else { return "wrong Sec-WebSocket-Accept" }
        guard protocols.count <= 1, protocols.allSatisfy({ offeredProtocols.contains(bytesEqualTo: $0) }) else {
            return "a subprotocol that was not offered"
        }
        guard self.isSubset(acceptedExtensions: extensions, offered: offeredExtensions) else {
            return "an extension that was not offered"
        }
        return nil
    }
}

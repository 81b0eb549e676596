/// The identifier of a resumable session: a tag that names its node and event loop, and 128 random bits.
///
/// The tag is not secret, and saves a look-up that loops would share. The random bits, and the token that opened the
/// session, keep others out.
package struct SessionID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let node: UInt16
    /// Index of the event loop that holds the session.
    package let shard: UInt8
    private let high: UInt64
    private let low: UInt64

    /// Bytes before encoding: a multiple of three, so that base64 needs no padding.
    private static let length = 21
    private static let version: UInt8 = 1

    package init(node: UInt16, shard: UInt8, random: (UInt64, UInt64)) {
        self.node = node
        self.shard = shard
        self.high = random.0
        self.low = random.1
    }

    /// Nil unless `text` is exactly what ``description`` of some identifier gives.
    package init?(_ text: String) {
        guard text.utf8.count == 28 else { return nil }
        guard let data = Base64URL.decode(text.utf8), data.count == Self.length, data[0] == Self.version, data[20] == 0
        else { return nil }
        self.node = UInt16(data[1]) << 8 | UInt16(data[2])
        self.shard = data[3]
        self.high = data[4..<12].reduce(0) { $0 << 8 | UInt64($1) }
        self.low = data[12..<20].reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// 28 characters of base64url (RFC 4648 section 5).
    package var description: String {
        var data: [UInt8] = []
        data.reserveCapacity(Self.length)
        data.append(Self.version)
        withUnsafeBytes(of: self.node.bigEndian) { data.append(contentsOf: $0) }
        data.append(self.shard)
        withUnsafeBytes(of: self.high.bigEndian) { data.append(contentsOf: $0) }
        withUnsafeBytes(of: self.low.bigEndian) { data.append(contentsOf: $0) }
        data.append(0)
        return Base64URL.encode(data)
    }

    /// Orders identifiers by their loops; within a loop the order is arbitrary.
    package static func < (one: SessionID, other: SessionID) -> Bool {
        (one.node, one.shard, one.high, one.low) < (other.node, other.shard, other.high, other.low)
    }
}

/// Tells where the records of TLS end in the bytes of one direction of a connection, however they are cut into reads
/// (RFC 8446 5.1).
package struct RecordFollower: Sendable {
    static let headerLength = 5
    /// 2^14 bytes of content, and what the encryption of TLS 1.2 may add (RFC 5246 6.2.3).
    private static let longest = 16_384 + 2048
    /// Bytes that count as a record once the place is lost: about as many as the smallest record has.
    private static let smallest = 24

    /// Bytes of the record that has not come to its end.
    package private(set) var begun = 0
    /// The length of its content, as far as its header has come.
    private var length = 0
    /// The bytes were not a record; the first message of SSL 2.0 is an example. From there on bytes are counted,
    /// because a peer could hide records from a follower that has lost its place.
    package private(set) var isLost = false

    package init() {}

    /// Goes on over `bytes`, to their end or to the end of as many records.
    ///
    /// - Parameter most: at least 1.
    /// - Returns: the bytes that it went over, and the records that ended in them.
    package mutating func follow(_ bytes: UnsafeRawBufferPointer, most: Int = .max) -> (bytes: Int, records: Int) {
        var at = 0
        var records = 0
        while at < bytes.count, records < most {
            if self.isLost {
                let (count, taken) = Self.lost(bytes.count - at, most: most - records)
                return (at + count, records + taken)
            }
            if self.begun == 0, let end = Self.endOfRecord(bytes, at) {
                at = end
                records += 1
                continue
            }
            if self.begun < Self.headerLength {
                self.header(bytes[at])
                at += 1
            } else {
                let count = min(Self.headerLength + self.length - self.begun, bytes.count - at)
                self.begun += count
                at += count
            }
            if self.begun >= Self.headerLength, self.begun == Self.headerLength + self.length {
                self.begun = 0
                self.length = 0
                records += 1
            }
        }
        return (at, records)
    }

    /// The end of a record that begins at `at` and is whole. Nearly all records come so, and this costs a fraction of the
    /// way byte by byte. Nil for what needs that way.
    @inline(__always)
    private static func endOfRecord(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Int? {
        guard bytes.count - at >= Self.headerLength, (20...24).contains(bytes[at]), bytes[at + 1] == 3 else {
            return nil
        }
        let length = Int(bytes[at + 3]) << 8 | Int(bytes[at + 4])
        guard length <= Self.longest, bytes.count - at - Self.headerLength >= length else { return nil }
        return at + Self.headerLength + length
    }

    /// A type, two bytes of a version, two of the length.
    private mutating func header(_ byte: UInt8) {
        switch self.begun {
        case 0: if !(20...24).contains(byte) { self.isLost = true }
        case 1: if byte != 3 { self.isLost = true }
        case 2: break
        default:
            self.length = self.length << 8 | Int(byte)
            if self.length > Self.longest { self.isLost = true }
        }
        self.begun += 1
    }

    private static func lost(_ bytes: Int, most: Int) -> (bytes: Int, records: Int) {
        let records = (bytes - 1) / Self.smallest + 1
        return records <= most ? (bytes, records) : (most * Self.smallest, most)
    }
}

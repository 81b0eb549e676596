extension PollTarget {
    /// Gives the part of a request's path that a log may show. It ends with the marker of the session protocol: a
    /// session's identifier stands behind the marker, and on a route without tokens every client that knows it can use
    /// the session. It ends before `?`, `#` and `;` too, behind which clients put tokens by mistake.
    ///
    /// The marker and these bytes are recognized in either case and behind any number of percent encodings, because a
    /// request with them is refused, and its line in the log must not tell what the client meant to send.
    package static func shown(_ path: String) -> String {
        // A character of up to four bytes may be shown as one.
        let looked = min(path.utf8.count, 4 * ShownText.longestPath)
        let end = path.withBytes { bytes in self.shownEnd(UnsafeBufferPointer(rebasing: bytes[..<looked])) }
        return ShownText.clean(end == looked ? path : String(path.slice(0..<end)), limit: ShownText.longestPath)
    }

    private static func shownEnd(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
        // The byte of the marker that comes next; nil in a segment of another name.
        var next: Substring.UTF8View.Index?
        let marker = Substring(self.marker).utf8
        var index = 0
        while index < bytes.count {
            let (byte, width) = self.decoded(bytes, at: index)
            switch byte {
            case UInt8(ascii: "?"), UInt8(ascii: "#"), UInt8(ascii: ";"): return index
            case _ where next == marker.endIndex && !self.isPartOfName(byte): return index
            case UInt8(ascii: "/"), UInt8(ascii: "\\"): next = marker.startIndex
            default:
                if let place = next, place < marker.endIndex, marker[place] == byte.lowercased {
                    next = marker.index(after: place)
                } else {
                    next = nil
                }
            }
            index += width
        }
        return bytes.count
    }

    /// A segment such as `_polls` or `_poll-a` is another name. Anything else behind the marker may end the segment for
    /// a server that reads paths in its own way.
    private static func isPartOfName(_ byte: UInt8) -> Bool {
        byte.isAlphanumeric || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
    }

    /// Takes all percent encodings from the byte at `index` (`%2F`, `%252F`); `width` counts the encoded bytes.
    private static func decoded(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> (byte: UInt8, width: Int) {
        guard bytes[index] == UInt8(ascii: "%") else { return (bytes[index], 1) }
        var place = index
        while place + 2 < bytes.count, bytes[place + 1] == UInt8(ascii: "2"), bytes[place + 2] == UInt8(ascii: "5") {
            place += 2
        }
        guard place + 2 < bytes.count, let high = bytes[place + 1].hexValue, let low = bytes[place + 2].hexValue else {
            return (UInt8(ascii: "%"), place - index + 1)
        }
        return (high << 4 | low, place - index + 3)
    }
}

/// Divides what is fed to an HTTP decoder: the decoder has work for each line, however short the line is. A chunk has a
/// line at least.
package enum LineRun {
    /// How many bytes at the front of `bytes` have no more lines than there is room for.
    ///
    /// - Parameter room: lines that may still be taken. Bytes without an end of a line take none.
    package static func length(_ bytes: UnsafeRawBufferPointer, room: inout Int) -> Int {
        var at = 0
        while at < bytes.count, room > 0 {
            guard let found = bytes[at...].firstIndex(of: UInt8(ascii: "\n")) else { return bytes.count }
            at = found + 1
            room -= 1
        }
        return at
    }
}

import Glibc

/// Reads a file that is open already, so that the file which was looked at is the one that is read.
package enum DescriptorBytes {
    /// - Returns: all bytes up to the end; nil when the system fails, with `errno` set, or when there are more than `limit`.
    package static func read(_ descriptor: CInt, limit: Int = .max) -> [UInt8]? {
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4096)
        while bytes.count <= limit {
            let count = Glibc.read(descriptor, &part, part.count)
            if count > 0 {
                bytes += part.prefix(count)
            } else if count == 0 {
                return bytes
            } else if errno != EINTR {
                return nil
            }
        }
        return nil
    }
}

package import Foundation
import Glibc

/// Reads files that are small and whole.
package enum RegularFile {
    /// Why a file was not read.
    package enum Fault: Error {
        /// The file is a pipe, a socket or a device. Holds the reason, for people.
        case irregular(String)
        case unreadable
        /// It has more bytes than were asked for.
        case tooLong
    }

    /// - Parameter most: bytes.
    package static func read(_ path: String, most: Int) throws(Fault) -> Data {
        if let fault = self.irregular(path) { throw .irregular(fault) }
        guard let file = FileHandle(forReadingAtPath: path), let data = try? file.read(upToCount: most + 1) ?? Data()
        else { throw .unreadable }
        guard data.count <= most else { throw .tooLong }
        return data
    }

    /// Says why a file must not be read: a pipe that nothing writes to holds the reader up, and a device may have no end.
    /// Asked before a file is opened that is read whole. Nil for a regular file, a folder, and a file that is missing.
    package static func irregular(_ path: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0, ![S_IFREG, S_IFDIR].contains(status.st_mode & S_IFMT) else { return nil }
        return "it is no regular file but a pipe, a socket or a device; give the path of a file"
    }
}

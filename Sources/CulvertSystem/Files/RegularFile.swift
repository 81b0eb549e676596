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

    /// Says why a path cannot be that of authorities' certificates. TLS takes a folder, too, and finds in it the files that
    /// `openssl rehash` has given names: a folder without them vouches for nothing. Nil for a missing file, too.
    package static func unfitForAuthorities(_ path: String) -> String? {
        if let fault = self.irregular(path) { return fault }
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: path), !names.contains(where: self.isHash)
        else { return nil }
        return "it is a folder, and no certificate in it has a hashed name; give the path of a PEM file, or run: openssl "
            + "rehash \(path)"
    }

    /// Eight hexadecimal digits, a period and a number.
    private static func isHash(_ name: String) -> Bool {
        let parts = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
        return parts.count == 2 && parts[0].count == 8 && !parts[1].isEmpty && parts[1].allSatisfy(isDigit)
            && parts[0].allSatisfy { isDigit($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0) }
    }
}

import Foundation
import Glibc
import Logging

/// Files that hold secrets: nobody but their owner reads them, from their first byte on.
enum SecretFile {
    struct Failure: Error, Equatable, CustomStringConvertible {
        var description: String
    }

    /// Makes the file with its content. Leaves a file that is there alone, also one that another process has made
    /// meanwhile.
    ///
    /// It is written under another name with mode 0600, synced, and given its name: no other user has ever been able to
    /// open it, and no crash leaves half of it.
    static func makeIfMissing(_ path: String, _ contents: [UInt8] = []) throws(Failure) {
        if FileManager.default.fileExists(atPath: path) { return }
        let draft = "\(path).\(UInt64.random(in: .min ... .max)).new"
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw self.failure(path, "cannot be made") }
        defer { unlink(draft) }
        let isWritten = self.write(contents, to: descriptor)
        guard close(descriptor) == 0, isWritten else { throw self.failure(path, "cannot be written") }
        // Unlike rename(2) it does not replace. A file system without hard links has no such call.
        if link(draft, path) != 0 {
            if errno == EEXIST { return }
            guard rename(draft, path) == 0 else { throw self.failure(path, "cannot be made") }
        }
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        self.sync(folder: slash.map { String(path[...$0]) } ?? ".")
    }

    private static func write(_ contents: [UInt8], to descriptor: CInt) -> Bool {
        var rest = contents[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno != EINTR {
                return false
            }
        }
        return fsync(descriptor) == 0
    }

    private static func sync(folder: String) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }

    /// Takes from others what they may do with a file that is there, and says so in the log. Root may have given it to
    /// a group to read on purpose.
    ///
    /// - Throws: when the file is another user's, or others may read or change it and that cannot be ended.
    static func protect(_ path: String, logger: Logger?) throws(Failure) {
        // Not by a descriptor: to close one of a database ends the locks that the process has on it (POSIX, fcntl).
        guard let (mode, owner) = try self.target(of: path) else { return }
        let isOurs = owner == geteuid()
        let wanted = mode & (isOurs ? 0o700 : 0o740)
        guard wanted != mode else { return }
        let text = "0" + String(mode, radix: 8)
        guard isOurs || geteuid() == 0, chmod(path, wanted) == 0 else {
            throw Failure(
                description: "\(path): others may read or change it (mode \(text)), and its mode cannot be changed; "
                    + "its owner has to: chmod 600 \(path)")
        }
        logger?.warning(
            "other users could read or change a file with secrets; its mode is changed",
            metadata: ["file": "\(path)", "mode": "\(text)", "now": "0\(String(wanted, radix: 8))"])
    }

    /// Follows the links that `path` may be. The owner of the file, or of a link on the way to it, chooses its
    /// contents.
    ///
    /// - Returns: mode and owner of the file; nil when nothing has the name.
    private static func target(of path: String) throws(Failure) -> (mode: UInt32, owner: UInt32)? {
        var step = path
        for _ in 0..<Self.mostLinks {
            // The attributes are those of the link itself where there is one.
            guard let attributes = try? FileManager.default.attributesOfItem(atPath: step) else {
                if step == path, access(path, F_OK) != 0, errno == ENOENT { return nil }
                throw Failure(description: "\(path): its mode and owner cannot be looked at")
            }
            guard let mode = (attributes[.posixPermissions] as? NSNumber)?.uint32Value,
                let owner = (attributes[.ownerAccountID] as? NSNumber)?.uint32Value
            else { throw Failure(description: "\(path): its mode and owner cannot be looked at") }
            guard owner == geteuid() || owner == 0 else {
                let what = step == path ? path : "\(path): \(step)"
                throw Failure(
                    description: "\(what): it belongs to another user (\(owner)), who may know or choose its content; "
                        + "remove it, or give it to the user that Culvert runs as: chown \(geteuid()) \(step)")
            }
            guard attributes[.type] as? FileAttributeType == .typeSymbolicLink else { return (mode, owner) }
            guard let next = try? FileManager.default.destinationOfSymbolicLink(atPath: step) else {
                throw Failure(description: "\(path): the link cannot be read")
            }
            step = URL(filePath: next, relativeTo: URL(filePath: step).deletingLastPathComponent()).path
        }
        throw Failure(description: "\(path): too many links")
    }

    private static let mostLinks = 40

    private static func failure(_ path: String, _ what: String) -> Failure {
        Failure(description: "\(path): \(what): \(String(cString: strerror(errno)))")
    }
}

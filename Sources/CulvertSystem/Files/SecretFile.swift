import Foundation
import Glibc
package import Logging

/// Files that hold secrets: nobody but their owner reads them, from their first byte on. ``TokenStore`` and
/// ``AdminToken`` make, protect and read their files with it, at the place that ``SecretFolder`` gives.
package enum SecretFile {
    package struct Failure: Error, Equatable, CustomStringConvertible {
        package var description: String

        package init(description: String) { self.description = description }
    }

    /// Makes the file with its content. Leaves a file that is there alone, also one that another process has made
    /// meanwhile.
    ///
    /// It is written under another name with mode 0600, synced, and given its name: no other user has ever been able to
    /// open it, and no crash leaves half of it.
    package static func makeIfMissing(_ path: String, _ contents: [UInt8] = []) throws(Failure) {
        if FileManager.default.fileExists(atPath: path) { return }
        let draft = "\(path).\(UInt64.random(in: .min ... .max)).new"
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw self.notMade(path) }
        defer { unlink(draft) }
        let isWritten = self.write(contents, to: descriptor)
        guard close(descriptor) == 0, isWritten else { throw self.failure(path, "cannot be written") }
        // Unlike rename(2) it does not replace. A file system without hard links has no such call.
        if link(draft, path) != 0 {
            if errno == EEXIST { return }
            guard rename(draft, path) == 0 else { throw self.notMade(path) }
        }
        self.sync(folder: self.folder(of: path))
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
    /// - Parameter path: as ``SecretFolder/place(of:)`` gives it: without links, in a folder where others cannot write.
    /// - Throws: when the file is another user's, or others may read or change it and that cannot be ended.
    package static func protect(_ path: String, logger: Logger?) throws(Failure) {
        // Not by a descriptor: to close one of a database ends the locks that the process has on it (POSIX, fcntl).
        guard let status = FileStatus(path: path) else {
            if errno == ENOENT { return }
            throw self.failure(path, "its mode and owner cannot be looked at")
        }
        try self.tighten(path, status, logger: logger) { chmod(path, $0) }
    }

    /// The change of a mode that ``protect(_:logger:)`` makes; the modes have four octal digits.
    package struct ModeChange: Equatable, Sendable {
        package var old: String
        package var new: String
    }

    /// Gives the change that ``protect(_:logger:)`` would make. Nil for a file that keeps its mode or is not there, and
    /// for one that is no regular file.
    package static func pendingChange(_ path: String) -> ModeChange? {
        guard let status = FileStatus(path: path), status.kind == .file else { return nil }
        let wanted = self.wantedMode(status)
        return wanted == status.mode ? nil : ModeChange(old: status.modeText, new: FileStatus.text(wanted))
    }

    /// Lets the owner read and write a file of this process's user. A file that root makes beside another gets its mode,
    /// also one that would keep its owner out without root's rights.
    package static func openToOwner(_ path: String) {
        guard let status = FileStatus(path: path), status.kind == .file, status.isOurs, status.mode & 0o600 != 0o600
        else { return }
        chmod(path, status.mode | 0o600)
    }

    /// Finds what would keep ``makeIfMissing(_:_:)`` or ``protect(_:logger:)`` from doing its work. Makes and changes
    /// nothing.
    ///
    /// - Parameters:
    ///   - path: as ``SecretFolder/place(of:)`` gives it.
    ///   - use: what the process does with the file, in the terms of access(2).
    /// - Returns: whether the file is there.
    package static func look(_ path: String, for use: CInt) throws(Failure) -> Bool {
        guard let status = FileStatus(path: path) else {
            guard errno == ENOENT else { throw self.failure(path, "its mode and owner cannot be looked at") }
            guard access(self.folder(of: path), W_OK | X_OK) == 0 else { throw self.notMade(path) }
            return false
        }
        try self.tighten(path, status, logger: nil) { _ in 0 }
        guard access(path, use) == 0 else {
            let verbs = use & W_OK == 0 ? "read" : "read and write"
            let failure = self.failure(path, use & W_OK == 0 ? "cannot be read" : "cannot be read and written")
            throw Failure(description: "\(failure); let uid \(geteuid()), as which this process runs, \(verbs) it")
        }
        return true
    }

    private static func folder(of path: String) -> String {
        path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[...$0]) } ?? "."
    }

    /// Reads the file, protected like by ``protect(_:logger:)``: the file that is looked at is the one that is read.
    ///
    /// - Parameters:
    ///   - path: as ``SecretFolder/place(of:)`` gives it.
    ///   - isLook: leave the mode of the file as it is.
    ///   - judge: refuses a content that the file must not have. The mode of such a file stays as it is: it may be
    ///     another file, whose path was given by mistake.
    package static func read(
        _ path: String, logger: Logger?, isLook: Bool = false,
        _ judge: ([UInt8]) throws(Failure) -> Void = { _ throws(Failure) in }
    ) throws(Failure) -> [UInt8] {
        // A pipe that nothing writes to must not hold up the start.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            let failure = self.failure(path, "cannot be read")
            // The message names the owner if the owner is the reason.
            if let status = FileStatus(path: path) { try self.checkOwner(status, of: path, on: path) }
            throw failure
        }
        defer { close(descriptor) }
        guard let status = FileStatus(descriptor: descriptor) else {
            throw self.failure(path, "its mode and owner cannot be looked at")
        }
        try self.tighten(path, status, logger: nil) { _ in 0 }
        guard let contents = DescriptorBytes.read(descriptor) else { throw self.failure(path, "cannot be read") }
        try judge(contents)
        if !isLook { try self.tighten(path, status, logger: logger) { fchmod(descriptor, $0) } }
        return contents
    }

    private static func tighten(
        _ path: String, _ status: FileStatus, logger: Logger?, change: (mode_t) -> CInt
    ) throws(Failure) {
        try self.checkOwner(status, of: path, on: path)
        guard status.kind == .file else { throw self.notRegular(path, status) }
        let wanted = self.wantedMode(status)
        guard wanted != status.mode else { return }
        guard status.isOurs || geteuid() == 0, change(wanted) == 0 else {
            throw Failure(
                description: "\(path): others may read or change it (mode \(status.modeText)), and its mode cannot be "
                    + "changed; its owner has to: chmod 600 \(path)")
        }
        logger?.warning(
            "other users could read or change a file with secrets; its mode is changed",
            metadata: ["file": "\(path)", "mode": "\(status.modeText)", "now": "\(FileStatus.text(wanted))"])
    }

    private static func wantedMode(_ status: FileStatus) -> mode_t { status.mode & (status.isOurs ? 0o700 : 0o740) }

    /// The owner of the file, or of a link on the way to it, chooses its contents.
    ///
    /// - Parameter step: the file, or a link on the way to `path`.
    static func checkOwner(_ status: FileStatus, of step: String, on path: String) throws(Failure) {
        guard !status.isOwnerTrusted else { return }
        let what = step == path ? path : "\(path): \(step)"
        throw Failure(
            description: "\(what): it belongs to another user (\(status.owner)), who may know or choose its content; "
                + "if Culvert runs as that user, \(RunAs.advice(status.owner)), else give it to the user that Culvert "
                + "runs as: chown \(geteuid()) \(step)")
    }

    /// A file that cannot be made, with the system's reason and what the operator can do.
    static func notMade(_ path: String) -> Failure {
        let code = errno
        let advice =
            switch code {
            case ENOENT, ENOTDIR: "; make its folder (mkdir -m 700), or choose another path"
            case EACCES: "; let uid \(geteuid()) write in its folder, or choose another path"
            case EROFS: "; choose a path in a folder that can be written"
            case ENOSPC, EDQUOT: "; make room on its disk"
            default: "; choose another path"
            }
        return Failure(description: "\(path): cannot be made: \(String(cString: strerror(code)))\(advice)")
    }

    private static func notRegular(_ path: String, _ status: FileStatus) -> Failure {
        Failure(
            description: status.kind == .folder
                ? SecretFolder.isFolder(path) : "\(path): it is no regular file; remove it, or choose another path")
    }

    /// With the system's reason.
    static func failure(_ path: String, _ what: String) -> Failure {
        Failure(description: "\(path): \(what): \(String(cString: strerror(errno)))")
    }
}

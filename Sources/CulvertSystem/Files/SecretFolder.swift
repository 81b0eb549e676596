import Foundation
package import Glibc

/// The folders on the way to a file with secrets. Other users must not be able to exchange what lies in them.
///
/// A user that can write in a folder can put a file there under a name that SQLite opens by itself, as that of a
/// journal, or can exchange a file after Culvert has looked at it. ``TokenStore`` and ``AdminToken`` ask for the place
/// of their file before they look at it, make it or open it, and then use that place alone. The type owns nothing.
package enum SecretFolder {
    /// Follows `path` from `/` name by name, links too, and checks each folder before it looks up a name in it.
    ///
    /// Root, the process's user and the members of the process's group are trusted. A sticky folder on the way may be
    /// writable for others, because they cannot rename in it what is not theirs; the folder of the file may not,
    /// because they can add to it. Others cannot reach a file below a folder that they may not search.
    ///
    /// - Returns: the path of the file without links, whether or not the file is there.
    package static func place(of path: String) throws(SecretFile.Failure) -> String {
        let isAbsolute = path.utf8.first == UInt8(ascii: "/")
        var names = self.names(isAbsolute ? path : FileManager.default.currentDirectoryPath + "/" + path)
        guard let root = FileStatus(path: "/") else { throw SecretFile.notMade(path) }
        var folders = [Folder(path: "/", status: root)]
        var links = 0
        var isFileLinked = false
        while let name = names.popLast() {
            if name == ".." {
                if folders.count > 1 { folders.removeLast() }
                continue
            }
            let folder = folders[folders.count - 1]
            let isOutOfReach = folders.dropLast().contains(where: \.locksOthersOut)
            if !isOutOfReach { try self.check(folder, of: path, isAbove: true) }
            let step = folder.path == "/" ? "/" + name : folder.path + "/" + name
            guard let status = FileStatus(path: step) else {
                guard names.isEmpty, errno == ENOENT else { throw SecretFile.notMade(path) }
                guard !isFileLinked else { throw self.leadsNowhere(path) }
                if !isOutOfReach { try self.check(folder, of: path, isAbove: false) }
                return step
            }
            switch status.kind {
            case .folder:
                folders.append(Folder(path: step, status: status))
            case .link:
                try SecretFile.checkOwner(status, of: step, on: path)
                links += 1
                guard links <= self.mostLinks else { throw self.badLink(path, "more than \(self.mostLinks) links") }
                guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: step) else {
                    throw self.badLink(path, "the link cannot be read")
                }
                if names.isEmpty { isFileLinked = true }
                if target.utf8.first == UInt8(ascii: "/") { folders.removeLast(folders.count - 1) }
                names += self.names(target)
            case .file, .other:
                guard names.isEmpty else {
                    errno = ENOTDIR
                    throw SecretFile.notMade(path)
                }
                if !isOutOfReach { try self.check(folder, of: path, isAbove: false) }
                return step
            }
        }
        throw SecretFile.Failure(description: self.isFolder(path))
    }

    static func isFolder(_ path: String) -> String {
        "\(path): it is a folder; give the path of a file, such as \(path)/NAME"
    }

    private static func leadsNowhere(_ path: String) -> SecretFile.Failure {
        SecretFile.Failure(
            description: "\(path): the link leads to no file; remove the link, or give the path of the file itself")
    }

    private static func badLink(_ path: String, _ what: String) -> SecretFile.Failure {
        SecretFile.Failure(description: "\(path): \(what); give the path of the file itself")
    }

    private struct Folder {
        let path: String
        let status: FileStatus

        /// Root, the process's user and its group alone can look up a name in the folder.
        var locksOthersOut: Bool {
            let isSearchedByGroup = self.status.mode & 0o010 != 0 && self.status.group != getegid()
            return self.status.isOwnerTrusted && self.status.mode & 0o001 == 0 && !isSearchedByGroup
        }
    }

    private static let mostLinks = 40

    /// Gives the names of the path; the last name comes first.
    private static func names(_ path: String) -> [String] {
        path.utf8.split(separator: UInt8(ascii: "/")).map { String(Substring($0)) }.filter { $0 != "." }.reversed()
    }

    private static func check(_ folder: Folder, of path: String, isAbove: Bool) throws(SecretFile.Failure) {
        let (name, status) = (folder.path, folder.status)
        let danger = "could put files in place of \(path)"
        let ownFolder = "give Culvert a folder of its own"
        guard status.isOwnerTrusted else {
            throw SecretFile.Failure(
                description: "\(name): this folder belongs to another user (\(status.owner)), who \(danger); if "
                    + "Culvert runs as that user, \(RunAs.advice(status.owner)), else \(ownFolder) (mkdir -m 700), below "
                    + "folders of root and of the user that Culvert runs as")
        }
        let isSticky = status.mode & 0o1000 != 0
        if isAbove && isSticky { return }
        guard status.isWritableForOthers else { return }
        let isOthers = status.mode & 0o002 != 0
        let isGroups = status.mode & 0o020 != 0 && status.group != getegid()
        let writers = isOthers ? "other users" : "members of another group (\(status.group))"
        let advice: String
        if isSticky {
            advice = ": mkdir -m 700 \(name == "/" ? "" : name)/culvert"
        } else {
            // A folder below this one does not help: its name can be given to another.
            let classes = (isGroups ? "g" : "") + (isOthers ? "o" : "")
            advice = " (mkdir -m 700), or take this from them: chmod \(classes)-w \(name)"
        }
        throw SecretFile.Failure(
            description: "\(name): \(writers) may write in this folder (mode \(status.modeText)), and \(danger); "
                + ownFolder + advice)
    }
}

/// Kind, mode and owner of a file, as the system tells them. ``SecretFile`` and ``SecretFolder`` judge by them.
package struct FileStatus {
    package enum Kind { case file, folder, link, other }

    package let kind: Kind
    package let mode: mode_t
    package let owner: uid_t
    let group: gid_t

    /// Looks at a link itself, not at its target. The result is nil on failure, with `errno` set.
    init?(path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    /// Nil sets `errno`.
    package init?(descriptor: CInt) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        self.init(status)
    }

    private init(_ status: stat) {
        switch status.st_mode & S_IFMT {
        case S_IFREG: self.kind = .file
        case S_IFDIR: self.kind = .folder
        case S_IFLNK: self.kind = .link
        default: self.kind = .other
        }
        self.mode = status.st_mode & 0o7777
        self.owner = status.st_uid
        self.group = status.st_gid
    }

    package var isOurs: Bool { self.owner == geteuid() }

    /// Root can read and change every file anyway.
    package var isOwnerTrusted: Bool { self.isOurs || self.owner == 0 }

    /// Users other than root, the owner and the members of the process's group may write.
    package var isWritableForOthers: Bool {
        self.mode & 0o002 != 0 || (self.mode & 0o020 != 0 && self.group != getegid())
    }

    package var modeText: String { Self.text(self.mode) }

    /// Writes the mode as four octal digits.
    static func text(_ mode: mode_t) -> String {
        let digits = String(mode, radix: 8)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}

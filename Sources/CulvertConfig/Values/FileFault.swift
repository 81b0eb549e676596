import CulvertSystem
import Glibc

/// Says why a file cannot be read.
package enum FileFault {
    /// The system's reason, for the end of a message: `: No such file or directory`. Empty where the process may read
    /// the file, and something else is wrong with it.
    package static func reason(_ path: String) -> String {
        guard access(path, R_OK) == 0 else { return ": " + String(cString: strerror(errno)) }
        return self.isFolder(path) ? ": it is a folder" : ""
    }

    package static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// See ``RegularFile/irregular(_:)``.
    package static func irregular(_ path: String) -> String? { RegularFile.irregular(path) }

    /// See ``RegularFile/unfitForAuthorities(_:)``.
    package static func unfitForAuthorities(_ path: String) -> String? { RegularFile.unfitForAuthorities(path) }

    /// Gives the remedy for a file that the configuration names and that cannot be read; for the end of the message.
    /// Empty where the process may read it.
    package static func advice(_ path: String) -> String {
        guard access(path, R_OK) != 0 else { return "" }
        switch errno {
        case ENOENT, ENOTDIR:
            return "; put the file there, or correct the path, which begins at the folder of the configuration unless "
                + "it begins with a slash"
        case EACCES:
            return "; let uid \(geteuid()), as which this process runs, read the file and search the folders above it"
        default: return ""
        }
    }
}

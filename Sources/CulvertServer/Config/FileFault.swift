import Glibc

/// Says why a file cannot be read.
package enum FileFault {
    /// The system's reason, for the end of a message: `: No such file or directory`. Empty where the process may read
    /// the file, and something else is wrong with it.
    package static func reason(_ path: String) -> String {
        access(path, R_OK) == 0 ? "" : ": " + String(cString: strerror(errno))
    }

    /// Says why a file must not be read: a pipe that nothing writes to holds the reader up, and a device may have no end.
    /// Asked before a file is opened that is read whole. Nil for a regular file, a folder, and a file that is missing.
    static func irregular(_ path: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0, ![S_IFREG, S_IFDIR].contains(status.st_mode & S_IFMT) else { return nil }
        return "it is no regular file but a pipe, a socket or a device; give the path of a file"
    }

    /// Gives the remedy for a file that the configuration names and that cannot be read; for the end of the message.
    /// Empty where the process may read it.
    static func advice(_ path: String) -> String {
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

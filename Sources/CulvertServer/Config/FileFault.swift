import Glibc

/// Says why a file cannot be read.
package enum FileFault {
    /// The system's reason, for the end of a message: `: No such file or directory`. Empty where the process may read
    /// the file, and something else is wrong with it.
    package static func reason(_ path: String) -> String {
        access(path, R_OK) == 0 ? "" : ": " + String(cString: strerror(errno))
    }
}

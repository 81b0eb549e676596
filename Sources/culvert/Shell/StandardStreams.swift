import Glibc

/// Standard input, output and error, as a process may get them from who starts it.
enum StandardStreams {
    /// To be called before anything else opens a descriptor.
    static func prepare() {
        // A stream that is closed leaves its number to the next file or socket, and log lines would be written there:
        // into the database, or to a client.
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
            let opened = open("/dev/null", O_RDWR)
            // The lowest free number is taken, which is this one, for those below are open.
            guard opened == descriptor else { return }
        }
        // A reader of the log that has gone, and a log file as large as it may be, are errors of a write, and no end of
        // the process.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
    }
}

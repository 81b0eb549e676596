extension Session {
    /// The session as a ``ResumableSession``; nil if it is of the other kind.
    var resumable: ResumableSession? { self as? ResumableSession }
}

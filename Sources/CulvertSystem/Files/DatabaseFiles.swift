/// The files of a database. A configuration must give none of their paths to another file.
package enum DatabaseFiles {
    /// The suffixes of the files that SQLite keeps for one database.
    package static let suffixes = ["", "-wal", "-shm", "-journal"]
}

import GRDB

/// The tables of the database. A migration that has been released is never changed: another is added.
enum StoreSchema {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1-tokens") { try $0.execute(sql: self.tokens) }
        migrator.registerMigration("1-audit") { try $0.execute(sql: self.audit) }
        migrator.registerMigration("2-jwt-keys") { try $0.execute(sql: self.jwtKeys) }
        migrator.registerMigration("3-audit-replace") { try $0.execute(sql: self.auditReplace) }
        migrator.registerMigration("4-ended-secrets") { try $0.execute(sql: self.endedSecrets) }
        migrator.registerMigration("5-ended-jwt-keys") { try $0.execute(sql: self.endedJWTKeys) }
        return migrator
    }

    /// Whether the database has tables, and GRDB's table of migrations is none of them: another program has made it.
    static func isForeign(_ database: Database) throws -> Bool {
        let tables = try Int.fetchOne(
            database, sql: "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'")
        return try tables != 0 && !database.tableExists("grdb_migrations")
    }

    private static let tokens = """
        CREATE TABLE token (
            id TEXT NOT NULL PRIMARY KEY,
            subject TEXT NOT NULL,
            routes TEXT NOT NULL,              -- JSON array
            origins TEXT,                      -- JSON array
            not_before INTEGER,                -- this and every other time: Unix seconds
            expires INTEGER,
            sessions INTEGER,
            messages_per_second INTEGER,
            note TEXT NOT NULL,
            created INTEGER NOT NULL,
            rotated INTEGER,
            revoked INTEGER,
            revoked_reason TEXT
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE secret (
            token TEXT NOT NULL REFERENCES token (id) ON DELETE CASCADE,
            generation INTEGER NOT NULL,
            digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
            until INTEGER,
            PRIMARY KEY (token, generation)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE jwt_revocation (
            kind TEXT NOT NULL CHECK (kind IN ('id', 'subject')),
            value TEXT NOT NULL,
            before INTEGER NOT NULL,
            until INTEGER NOT NULL,
            PRIMARY KEY (kind, value)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE idempotency (
            key TEXT NOT NULL PRIMARY KEY,
            request BLOB NOT NULL,
            token TEXT NOT NULL,
            generation INTEGER NOT NULL,
            at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        """

    private static let jwtKeys = """
        CREATE TABLE jwt_key (
            id TEXT NOT NULL PRIMARY KEY,
            algorithm TEXT NOT NULL,
            jwk TEXT NOT NULL,                 -- public
            note TEXT NOT NULL,
            created INTEGER NOT NULL,
            until INTEGER
        ) STRICT, WITHOUT ROWID;
        """

    /// Secrets that were replaced, or whose token was deleted: they must not begin again as tokens of the
    /// configuration.
    private static let endedSecrets = """
        CREATE TABLE ended_secret (
            digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
            token TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        """

    /// Keys that were deleted: they must not count again for a copy in a set of keys or in the configuration.
    private static let endedJWTKeys = """
        CREATE TABLE ended_jwt_key (
            thumbprint TEXT NOT NULL PRIMARY KEY,  -- RFC 7638
            until INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        """

    private static let audit = """
        CREATE TABLE audit (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at INTEGER NOT NULL,
            actor TEXT NOT NULL,
            address TEXT NOT NULL,
            action TEXT NOT NULL,
            target TEXT NOT NULL,
            detail TEXT NOT NULL
        ) STRICT;

        CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

        CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
        """

    /// `REPLACE` deletes the row that is in its way without its `DELETE` trigger (SQLite, "REPLACE" of ON CONFLICT).
    /// The number of a row whose statement leaves it to SQLite is -1 before it is inserted.
    private static let auditReplace = """
        CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit
        WHEN NEW.id IS NOT -1 AND NEW.id <= (SELECT max(id) FROM audit)
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

        CREATE TRIGGER audit_counts_up AFTER INSERT ON audit WHEN NEW.id < 1
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
        """
}

import Foundation
import GRDB

/// The table `idempotency`.
enum IdempotencyTable {
    static func record(key: String, _ database: Database) throws -> IdempotencyRecord? {
        let sql = "SELECT request, token, generation, at FROM idempotency WHERE key = ?"
        guard let row = try Row.fetchOne(database, sql: sql, arguments: [key]) else { return nil }
        let request: Data = row[0]
        return IdempotencyRecord(
            key: key, request: Array(request), tokenID: row[1], generation: row[2], at: row[3])
    }

    static func put(_ record: IdempotencyRecord, _ database: Database) throws {
        try database.execute(
            sql: """
                INSERT INTO idempotency (key, request, token, generation, at) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (key) DO UPDATE SET request = excluded.request, token = excluded.token,
                    generation = excluded.generation, at = excluded.at
                """,
            arguments: [record.key, Data(record.request), record.tokenID, record.generation, record.at])
        try database.execute(
            sql: "DELETE FROM idempotency WHERE at < ?", arguments: [record.at - IdempotencyRecord.lifetime])
    }
}

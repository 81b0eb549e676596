import CulvertCore
import Foundation
import GRDB

/// Compares the tokens of a configuration with those of a database. ``TokenStore`` asks at a start and a reload,
/// ``StoreLook`` for `culvert check`.
enum TokenConflicts {
    /// Gives an error for each token of the configuration whose id or secret a minted token has, or whose secret such a
    /// token has had. An id names one token, a secret has one, and a secret that has ended does not begin again.
    static func find(among tokens: [ConfigToken], _ database: Database) throws -> [ConfigError] {
        let sql = """
            SELECT token, (SELECT revoked IS NULL FROM token WHERE id = token) FROM secret WHERE digest = ?1
            UNION ALL SELECT token, 0 FROM ended_secret WHERE digest = ?1
            """
        let statement = try database.cachedStatement(sql: sql)
        return try tokens.compactMap { token in
            let name = token.token.id
            if try Bool.fetchOne(database, sql: "SELECT 1 FROM token WHERE id = ?", arguments: [name]) ?? false {
                return token.idPlace?.error(MintedID(id: name).description)
            }
            guard let row = try Row.fetchOne(statement, arguments: [Data(token.digest.bytes)]) else { return nil }
            let (id, isLive): (String, Bool) = (row[0], row[1])
            return token.place?.error(
                isLive
                    ? "it is the secret of the minted token \"\(id)\", and a secret has one token; take one of the two "
                        + "away"
                    : "it is a secret of the minted token \"\(id)\" that was revoked, deleted or rotated away; "
                        + "choose another secret")
        }
    }
}

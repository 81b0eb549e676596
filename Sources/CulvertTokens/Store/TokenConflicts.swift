package import CulvertCore
import Foundation
import GRDB

/// A token of a configuration, as a database is compared with it.
package struct ConfiguredSecret: Sendable {
    package var id: String
    package var digest: TokenDigest

    package init(id: String, digest: TokenDigest) {
        self.id = id
        self.digest = digest
    }
}

/// A token of a configuration that cannot stand beside a database's tokens.
package struct TokenConflict: Sendable, Equatable {
    package enum Part: Sendable {
        case id
        case secret
    }

    /// The index of the token in the list that was compared.
    package var index: Int
    package var part: Part
    package var message: String
}

/// Compares the tokens of a configuration with those of a database. ``TokenStore`` asks at a start and a reload,
/// ``StoreLook`` for `culvert check`.
enum TokenConflicts {
    /// Gives a conflict for each token of the configuration whose id or secret a minted token has, or whose secret such a
    /// token has had. An id names one token, a secret has one, and a secret that has ended does not begin again.
    static func find(among tokens: [ConfiguredSecret], _ database: Database) throws -> [TokenConflict] {
        let sql = """
            SELECT token, (SELECT revoked IS NULL FROM token WHERE id = token) FROM secret WHERE digest = ?1
            UNION ALL SELECT token, 0 FROM ended_secret WHERE digest = ?1
            """
        let statement = try database.cachedStatement(sql: sql)
        return try tokens.enumerated().compactMap { index, token in
            let name = token.id
            if try Bool.fetchOne(database, sql: "SELECT 1 FROM token WHERE id = ?", arguments: [name]) ?? false {
                return TokenConflict(index: index, part: .id, message: MintedID(id: name).description)
            }
            guard let row = try Row.fetchOne(statement, arguments: [Data(token.digest.bytes)]) else { return nil }
            let (id, isLive): (String, Bool) = (row[0], row[1])
            let message =
                isLive
                ? "it is the secret of the minted token \"\(id)\", and a secret has one token; take one of the two "
                    + "away"
                : "it is a secret of the minted token \"\(id)\" that was revoked, deleted or rotated away; "
                    + "choose another secret"
            return TokenConflict(index: index, part: .secret, message: message)
        }
    }
}

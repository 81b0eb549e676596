package import CulvertConfig
import CulvertCore
package import CulvertTokens

extension ConfigToken {
    /// The parts of the token that a database compares.
    var configuredSecret: ConfiguredSecret { ConfiguredSecret(id: self.token.id, digest: self.digest) }

    /// The conflicts of `tokens` at their places in the file. A token that is in no file has none.
    static func errors(_ conflicts: [TokenConflict], of tokens: [ConfigToken]) -> [ConfigError] {
        conflicts.compactMap { conflict in
            let token = tokens[conflict.index]
            return (conflict.part == .id ? token.idPlace : token.place)?.error(conflict.message)
        }
    }
}

extension TokenStore {
    /// The conflicts of the configuration's tokens with those of the database, at their places in the file.
    package func conflicts(with tokens: [ConfigToken]) throws(StoreError) -> [ConfigError] {
        ConfigToken.errors(try self.conflicts(with: tokens.map(\.configuredSecret)), of: tokens)
    }
}

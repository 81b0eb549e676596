package import CulvertCore
import GRDB

/// Why the tokens of a configuration cannot take effect: a token that was minted has the id of one of them.
package struct MintedID: Error, Equatable, Sendable, CustomStringConvertible {
    package var id: String

    package var description: String {
        "a minted token has the id \"\(self.id)\" already; choose another id here, or delete the minted token"
    }
}

/// What changes behind the desk's back: the configuration, and the database when another process writes to it.
extension TokenDesk {
    /// - Throws: ``MintedID`` when a token that was minted has the id of one of them.
    package func check(_ tokens: ConfiguredTokens) throws(MintedID) {
        guard let id = tokens.entries.keys.sorted().first(where: { self.isMinted($0) }) else { return }
        throw MintedID(id: id)
    }

    /// From now on these stand in the file. Whoever asks tells the loops.
    package func reconfigure(_ tokens: ConfiguredTokens, authority: JWTAuthority?) throws(MintedID) {
        try self.check(tokens)
        self.setConfigured(tokens, authority: authority)
    }

    /// Changes when another process has written to the database.
    package func dataVersion() throws(DeskError) -> Int {
        try self.reading { () throws(StoreError) in try self.store.dataVersion() }
    }

    /// What another process has written is made to hold here.
    ///
    /// - Parameter revocations: those of JWTs that hold now.
    /// - Returns: those that hold then.
    package func readAgain(revocations: [JWTRevocation]) async throws(DeskError) -> [JWTRevocation] {
        // All of it first: what is noted as known must be told.
        let stored = try self.reading { () throws(StoreError) in try self.store.entries() }
        let current = try self.jwtRevocations()
        let keys = try self.storedJWTKeys()
        let ended = try self.endedJWTKeys()
        var changes = self.replaceMinted(stored)
        let targets = Set(current.map(\.target))
        changes += current.filter { !revocations.contains($0) }.map { .revokeJWT($0) }
        changes += revocations.filter { !targets.contains($0.target) }.map { .removeJWTRevocation($0.target) }
        if !changes.isEmpty { await self.publish(changes)() }
        self.jwtKeysVersion += 1
        await self.authority?.setStored(keys, ended: ended, version: self.jwtKeysVersion)
        return current
    }
}

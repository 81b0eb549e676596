import CulvertCore

/// Says which tokens some changes are about, so that the sessions of these alone are looked at. ``LoopState`` makes it
/// when it applies the changes.
struct ChangedTokens {
    /// Identifiers of tokens of the file and of the store.
    private var ids: Set<String> = []
    private var revoked: Set<JWTRevocation.Target> = []
    /// Identifiers of keys that are retired, or whose end has moved.
    private var keys: Set<String> = []

    /// Applies `changes` to `keyring`, in their order.
    init(_ changes: [TokenChange], to keyring: inout TokenKeyring) {
        for change in changes {
            switch change {
            case .put(let entry): self.ids.insert(entry.token.id)
            case .remove(let id): self.ids.insert(id)
            case .revokeJWT(let revocation): self.revoked.insert(revocation.target)
            // Nothing that has ended begins again.
            case .removeJWTRevocation: break
            case .jwtKeys(let ends):
                let old = keyring.jwtKeys ?? [:]
                self.keys.formUnion(old.keys.filter { old[$0] != ends[$0] })
            }
            keyring.apply(change)
        }
    }

    func contain(_ entry: TokenEntry) -> Bool {
        let token = entry.token
        guard token.source == .jwt else { return self.ids.contains(token.id) }
        return self.revoked.contains(.id(token.id)) || entry.formerIDs.contains { self.revoked.contains(.id($0)) }
            || self.revoked.contains(.subject(token.subject))
            || entry.keyID.map(self.keys.contains) ?? false
    }
}

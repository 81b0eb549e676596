package import CulvertCore

/// The tokens that stand in the configuration file, as the event loops have them.
package struct ConfiguredTokens: Sendable {
    /// By id.
    package private(set) var entries: [String: TokenEntry]

    package init(_ entries: [TokenEntry] = []) {
        self.entries = Dictionary(entries.map { ($0.token.id, $0) }) { first, _ in first }
    }

    /// Those of the next configuration, and what is different about them. A secret that is replaced ends at once, as
    /// after a rotation without overlap.
    package func next(_ entries: [TokenEntry]) -> (tokens: ConfiguredTokens, changes: [TokenChange]) {
        let next = ConfiguredTokens(entries.map(self.successor))
        let put = next.entries.values.filter { entry in !(self.entries[entry.token.id]?.isSame(as: entry) ?? false) }
        let removed = self.entries.keys.filter { next.entries[$0] == nil }
        return (
            next,
            removed.sorted().map { .remove(id: $0) } + put.sorted { $0.token.id < $1.token.id }.map { .put($0) }
        )
    }

    /// Counts as the same token does until now, with secrets that are told from those before.
    private func successor(_ entry: TokenEntry) -> TokenEntry {
        guard let old = self.entries[entry.token.id] else { return entry }
        let generation = old.secrets.map(\.generation).max() ?? 1
        let isSame = old.secrets.map(\.digest) == entry.secrets.map(\.digest)
        let secrets = entry.secrets.map { secret in
            TokenSecret(digest: secret.digest, generation: isSame ? generation : generation + 1, until: secret.until)
        }
        return TokenEntry(token: entry.token, secrets: secrets, use: old.use)
    }
}

extension TokenEntry {
    func isSame(as other: TokenEntry) -> Bool {
        self.token == other.token && self.secrets == other.secrets && self.isRevoked == other.isRevoked
    }
}

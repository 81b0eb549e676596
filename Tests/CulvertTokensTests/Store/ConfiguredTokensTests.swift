import CulvertCore
import Testing

@testable import CulvertTokens

@Suite("Tokens of the file, over a reload")
struct ConfiguredTokensTests {
    private static func entry(_ id: String, _ secret: String, routes: [String] = ["/"]) -> TokenEntry {
        TokenEntry(
            token: Token(id: id, source: .config, subject: "s", routes: routes),
            secrets: [TokenSecret(digest: TokenDigest(of: secret), generation: 1)])
    }

    private static func names(_ changes: [TokenChange]) -> [String] {
        changes.map { change in
            switch change {
            case .put(let entry): "put \(entry.token.id)"
            case .remove(let id): "remove \(id)"
            default: "other"
            }
        }
    }

    @Test("The same file changes nothing, and tokens go on counting what they counted")
    func same() {
        let old = ConfiguredTokens([Self.entry("a", "one"), Self.entry("b", "two")])
        old.entries["a"]?.use.sessionOpened()
        let next = old.next([Self.entry("b", "two"), Self.entry("a", "one")])
        #expect(Self.names(next.changes).isEmpty)
        #expect(next.tokens.entries["a"]?.use.openSessions == 1)
    }

    @Test("What has changed is said, what is gone is removed, what is new is put")
    func different() {
        let old = ConfiguredTokens([Self.entry("a", "one"), Self.entry("b", "two"), Self.entry("c", "three")])
        let next = old.next([Self.entry("a", "one"), Self.entry("b", "two", routes: ["/x"]), Self.entry("d", "four")])
        #expect(Self.names(next.changes) == ["remove c", "put b", "put d"])
    }

    @Test("A secret that was replaced does not stand, however often, and neither does one that comes back for the old")
    func replaced() throws {
        var tokens = ConfiguredTokens([Self.entry("a", "one")])
        var keyring = TokenKeyring(Array(tokens.entries.values))
        for secret in ["two", "one"] {
            let before = keyring.credential(for: secret == "two" ? "one" : "two")
            let old = try #require(before)
            let next = tokens.next([Self.entry("a", secret)])
            for change in next.changes { keyring.apply(change) }
            tokens = next.tokens
            #expect(keyring.fault(of: old, now: 0) == .rotated)
            let after = keyring.credential(for: secret)
            let new = try #require(after)
            #expect(keyring.fault(of: new, now: 0) == nil && new.isNewer(than: old))
        }
    }
}

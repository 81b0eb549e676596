import Testing

@testable import CulvertCore
@testable import CulvertEdge

@Suite("The tokens that changes are about")
struct ChangedTokensTests {
    private static func stored(_ id: String) -> TokenEntry {
        TokenEntry(
            token: Token(id: id, source: .store, subject: "s", routes: ["/"]),
            secrets: [TokenSecret(digest: TokenDigest(of: id), generation: 1)])
    }

    private static func jwt(
        _ id: String, subject: String = "s", key: String = "k", former: [String] = []
    ) -> TokenEntry {
        TokenEntry(
            token: Token(id: id, source: .jwt, subject: subject, routes: ["/"]), secrets: [], keyID: key,
            formerIDs: former)
    }

    @Test("A token that was put or removed is meant, and a JWT of the same name is not")
    func stored() {
        var keyring = TokenKeyring([Self.stored("b")])
        let changed = ChangedTokens([.put(Self.stored("a")), .remove(id: "b")], to: &keyring)
        #expect(changed.contain(Self.stored("a")) && changed.contain(Self.stored("b")))
        #expect(!changed.contain(Self.stored("c")) && !changed.contain(Self.jwt("a")))
        #expect(keyring.count == 1)
    }

    @Test("A revocation means JWTs by their names, by those of before, and by their subject")
    func revocations() {
        var keyring = TokenKeyring()
        let changed = ChangedTokens(
            [
                .revokeJWT(JWTRevocation(target: .id("a"), before: 0, until: 9)),
                .revokeJWT(JWTRevocation(target: .subject("t"), before: 9, until: 9)),
                .removeJWTRevocation(.id("b")),
            ], to: &keyring)
        #expect(changed.contain(Self.jwt("a")) && changed.contain(Self.jwt("x", former: ["y", "a"])))
        #expect(changed.contain(Self.jwt("x", subject: "t")))
        // Nothing that has ended begins again.
        #expect(!changed.contain(Self.jwt("b")) && !changed.contain(Self.stored("a")))
    }

    @Test("New keys mean JWTs of those keys alone whose end has moved or that are no more")
    func keys() {
        var keyring = TokenKeyring()
        let first = ChangedTokens([.jwtKeys(["same": .max, "moved": .max, "gone": 5])], to: &keyring)
        #expect(!first.contain(Self.jwt("a", key: "same")))
        let second = ChangedTokens([.jwtKeys(["same": .max, "moved": 7, "new": .max])], to: &keyring)
        let meant = ["same", "moved", "gone", "new"].filter { second.contain(Self.jwt("a", key: $0)) }
        #expect(meant == ["moved", "gone"])
        #expect(keyring.jwtKeys == ["same": .max, "moved": 7, "new": .max])
    }
}

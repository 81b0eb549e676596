/// Why the tokens of a configuration cannot take effect: a token that was minted has the id of one of them.
package struct MintedID: Error, Equatable, Sendable, CustomStringConvertible {
    package var id: String

    package var description: String {
        "a minted token has the id \"\(self.id)\" already; choose another id here, or delete the minted token"
    }
}

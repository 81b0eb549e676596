package import CulvertCore

/// A key for JSON Web Tokens that was added while the proxy ran. It is public, so that
/// a thief of the database cannot sign with it.
package struct StoredJWTKey: Sendable, Equatable {
    package var id: String
    package var description: JWTKeyDescription
    package var note: String
    /// Unix seconds; `until` is nil while it is not retired.
    package var createdAt: Int64
    package var until: Int64?

    var thumbprint: String { self.description.material.thumbprint }
}

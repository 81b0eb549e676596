package import CulvertCore
import JWTKit

/// A key that verifies JSON Web Tokens, for one algorithm.
package struct JWTKey: Sendable {
    package enum Source: String, Sendable {
        case config
        case store
        case set
    }

    package let description: JWTKeyDescription
    let source: Source
    /// Unix seconds; nil for never.
    let until: Int64?
    /// By its material: the same key is the same under another name.
    let identity: String
    /// The thumbprint of the key's material, whatever the algorithm.
    let thumbprint: String
    private let verifier: any JWTAlgorithm

    init(_ description: JWTKeyDescription, source: Source, until: Int64? = nil) async throws {
        self.description = description
        self.source = source
        self.until = until
        self.thumbprint = description.material.thumbprint
        self.identity = "\(description.algorithm.rawValue):\(self.thumbprint)"
        self.verifier = try await description.material.verifier(description.algorithm)
    }

    func verifies(_ jwt: UnverifiedJWT) -> Bool {
        // Verification throws for a signature of a wrong length.
        (try? self.verifier.verify(jwt.signature, signs: jwt.signedBytes)) ?? false
    }
}

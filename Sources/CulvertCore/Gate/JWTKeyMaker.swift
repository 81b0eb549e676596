/// Makes a key of what a configuration says about it. The reader of a configuration calls it, on the thread that reads.
///
/// A key is tried with the cryptography that verifies tokens before it counts as read. The reader gets it through this
/// value, so that the reader depends on no library of cryptography.
package struct JWTKeyMaker: Sendable {
    /// The ways in which a configuration may write a key.
    package enum Form: Sendable {
        /// The members of a JWK.
        case jwk([String: JSONValue])
        /// A public key or a certificate in PEM.
        case pem(String)
        /// The secret of HS256.
        case secret([UInt8])
    }

    /// `id` and `algorithm` are what the configuration says beside the key; nil where it says nothing.
    package typealias Make =
        @Sendable (
            Form, _ id: String?, _ algorithm: SignatureAlgorithm?
        ) throws(JWTKeyDescription.Fault) -> JWTKeyDescription

    package let make: Make

    package init(make: @escaping Make) { self.make = make }
}

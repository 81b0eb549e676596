/// A key description, before anything is made of it: what a configuration, a request or a set of keys says.
package struct JWTKeyDescription: Equatable, Sendable {
    /// The `kid` of its tokens; nil when it has none.
    package var id: String?
    package var algorithm: SignatureAlgorithm
    package var material: KeyMaterial

    package enum Fault: Error, Equatable, Sendable {
        case key(KeyMaterial.Fault)
        /// The algorithm is not one of the key's.
        case algorithm

        package var message: String {
            switch self {
            case .key(let fault): fault.message
            case .algorithm: "the key is not one for this algorithm"
            }
        }
    }

    package init(id: String?, algorithm: SignatureAlgorithm?, material: KeyMaterial) throws(Fault) {
        self.id = id
        self.algorithm = algorithm ?? material.algorithms[0]
        self.material = material
        guard material.algorithms.contains(self.algorithm) else { throw .algorithm }
    }
}

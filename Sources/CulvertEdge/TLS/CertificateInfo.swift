/// A certificate that is served, as operators see it.
package struct CertificateInfo: Sendable, Equatable {
    /// The address of the listener that serves it.
    package var listener: String
    package var file: String
    /// DNS names that it is for.
    package var names: [String]
    /// The time from which it counts, and the time at which it ends, in Unix seconds.
    package var notBefore: Int64
    package var notAfter: Int64
}

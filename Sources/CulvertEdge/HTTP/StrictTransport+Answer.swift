package import CulvertConfig
package import NIOHTTP1

extension StrictTransport {
    /// An answer has one such field (RFC 6797 7.1). An upstream's has not come this far.
    package func add(to headers: inout HTTPHeaders) {
        headers.replaceOrAdd(name: "Strict-Transport-Security", value: self.value)
    }
}

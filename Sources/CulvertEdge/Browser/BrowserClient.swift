import Crypto
import Foundation
package import NIOCore

/// `culvert.js` as it is served: `culvert.min.js`, the module that `build` makes of it, and a classic script.
package struct BrowserClient: Sendable {
    /// One of its files.
    package struct Build: Sendable {
        package let body: ByteBuffer
        /// Nil when it could not be compressed.
        package let gzip: ByteBuffer?
        /// SHA-256 in hexadecimal digits.
        package let digest: String
        /// For the `integrity` attribute (W3C Subresource Integrity).
        package let integrity: String

        package init(_ text: String) {
            let bytes = Array(text.utf8)
            self.body = ByteBuffer(bytes: bytes)
            self.gzip = Gzip.compress(self.body)
            self.digest = SHA256.hash(data: bytes).map { byte in
                (byte < 0x10 ? "0" : "") + String(byte, radix: 16)
            }.joined()
            self.integrity = "sha384-" + Data(SHA384.hash(data: bytes)).base64EncodedString()
        }

        /// What stands for it in a path that is good for ever.
        package var mark: String { String(self.digest.prefix(16)) }
    }

    package let module: Build
    package let classic: Build
    package let types: Build

    /// What is embedded is no module that `build` has made.
    package struct Malformed: Error, CustomStringConvertible {
        package let description = "culvert.min.js does not end in the export of CulvertSocket"
    }

    /// - Parameter module: as `build` makes it.
    package init(module: String, types: String) throws(Malformed) {
        self.module = Build(module)
        self.classic = Build(try Self.classic(module))
        // With its comments: they are what an editor shows.
        self.types = Build(types)
    }

    private static let embedded = Result { () throws(Malformed) in
        try BrowserClient(
            module: String(decoding: PackageResources.culvert_min_js, as: UTF8.self),
            types: String(decoding: PackageResources.culvert_d_ts, as: UTF8.self))
    }

    /// That of this binary.
    package static var current: BrowserClient {
        get throws(Malformed) { try self.embedded.get() }
    }

    /// The module as a script for `<script src>`: nothing is left behind but the one global.
    private static func classic(_ module: String) throws(Malformed) -> String {
        guard
            let export = module.range(of: "export{", options: .backwards),
            // The class has a name of the minifier's.
            let match = module[export.lowerBound...].wholeMatch(
                of: #/export\{([\w$]+) as CulvertSocket,([\w$]+) as default\};?\s*/#),
            match.1 == match.2
        else { throw Malformed() }
        return "(()=>{\"use strict\";\(module[..<export.lowerBound])globalThis.CulvertSocket=\(match.1);})();\n"
    }
}

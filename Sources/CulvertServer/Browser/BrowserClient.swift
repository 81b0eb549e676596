import Crypto
import Foundation
package import NIOCore

/// `culvert.js` as it is served: one source, a module and a classic script made of it.
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

    package init(source: String, types: String) {
        let lines = Self.strip(source)
        self.module = Build(Self.text(lines))
        self.classic = Build(Self.text(Self.classic(lines)))
        // With its comments: they are what an editor shows.
        self.types = Build(types)
    }

    /// That of this binary.
    package static let current = BrowserClient(
        source: String(decoding: PackageResources.culvert_js, as: UTF8.self),
        types: String(decoding: PackageResources.culvert_d_ts, as: UTF8.self))

    /// Without indentation, empty lines and lines that are nothing but a comment. Nothing else is looked at, so the
    /// source has no block comments and no template literal of several lines.
    static func strip(_ source: String) -> [Substring] {
        source.split { $0 == "\n" || $0 == "\r\n" }.compactMap { line in
            var line = line.drop { $0 == " " || $0 == "\t" }
            while let last = line.last, last == " " || last == "\t" { line.removeLast() }
            return line.isEmpty || line.hasPrefix("//") ? nil : line
        }
    }

    /// The module's lines as a script for `<script src>`: nothing is left behind but the one global.
    static func classic(_ lines: [Substring]) -> [Substring] {
        ["(() => {", "\"use strict\";"] + lines.filter { !$0.hasPrefix("export ") }
            + ["globalThis.CulvertSocket = CulvertSocket;", "})();"]
    }

    private static func text(_ lines: [Substring]) -> String {
        ScriptSqueezer.squeeze(lines.joined(separator: "\n")) + "\n"
    }
}

import Crypto
import Foundation

/// The page of the demo: two clients side by side, with what one does to their network and what comes of it.
///
/// Its parts are files in `Page/`. They are put together into one document, whose policy names style and script by
/// their hashes; the one thing it loads is the edge's own `/culvert.js`.
package enum DemoPage {
    /// The whole page as HTML in UTF-8.
    ///
    /// `?path=/echo` in its address talks to another path than `/chat`; `?a=plain&b=auto` chooses the transports.
    ///
    /// - Parameter token: the bearer token the page connects with. It is part of the page: whoever may read the page
    ///   may connect, so serve it in a demo only.
    package static func html(token: String) -> String {
        let style = text(PackageResources.demo_css)
        // One module: the files but for the last declare what it uses.
        let script = [PackageResources.network_js, PackageResources.chart_js, PackageResources.demo_js]
            .map(text).joined(separator: "\n")
        let policy = [
            "default-src 'none'", "script-src 'self' \(hash(script))", "style-src \(hash(style))", "connect-src 'self'",
            "img-src data:", "base-uri 'none'", "form-action 'none'",
        ]
        return text(PackageResources.demo_html)
            .replacing("%POLICY%", with: policy.joined(separator: "; "))
            .replacing("%TOKEN%", with: attribute(token))
            .replacing("%STYLE%", with: style)
            .replacing("%SCRIPT%", with: script)
    }

    /// A text that stays within an attribute in double quotes.
    package static func attribute(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("\"", with: "&quot;").replacing("<", with: "&lt;")
            .replacing("%", with: "&#37;")
    }

    private static func text(_ bytes: [UInt8]) -> String {
        String(decoding: bytes, as: UTF8.self)
    }

    /// CSP 3, 2.3.1: of the text between the tags, to the byte.
    private static func hash(_ text: String) -> String {
        "'sha256-\(Data(SHA256.hash(data: Data(text.utf8))).base64EncodedString())'"
    }
}

/// Says what keeps a text from being an entry of `origins.allow`.
package enum OriginFault {
    /// The forms that an entry may have; for the end of a message.
    package static let forms =
        "expected https://a.example, https://a.example:8443, http://localhost:*, https://*.a.example, file://, null, "
        + "moz-extension://*, or \"*\" for every origin"

    /// - Parameter text: a text that ``OriginPattern`` does not take. The message does not repeat it.
    package static func message(_ text: String) -> String { self.fault(text) + "; " + self.forms }

    private static func fault(_ text: String) -> String {
        guard !text.isEmpty else { return "the text is empty" }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ",") }) else {
            return "an entry is one origin, of ASCII characters without blanks and commas; a name of another alphabet "
                + "is written as browsers send it (xn--…)"
        }
        guard let (scheme, rest) = text.split(at: UInt8(ascii: ":")), rest.utf8.starts(with: "//".utf8) else {
            return "the scheme is missing, such as https:// in front of the host"
        }
        guard !scheme.isEmpty, !scheme.contains(byte: UInt8(ascii: "*")) else {
            return "an origin begins with its scheme, such as https, and * does not stand for one"
        }
        let authority = rest.dropping(2)
        guard !["/", "?", "#", "\\"].contains(where: { authority.contains(bytesOf: $0) }) else {
            return "an origin ends with its host or port; take away the slash or path behind it"
        }
        guard !authority.contains(byte: UInt8(ascii: "@")) else { return "an origin has no user name and no @" }
        if authority.utf8.first == UInt8(ascii: "*"), !authority.begins(with: "*.") {
            return self.starInPlaceOfTheHost(scheme, authority)
        }
        if scheme.equalsIgnoringCase("file"), !authority.isEmpty {
            return "the origin of files is file://, without a host"
        }
        return self.fault(host: authority)
    }

    private static func starInPlaceOfTheHost(_ scheme: Substring, _ authority: Substring) -> String {
        if scheme.equalsIgnoringCase("file") { return "the origin of files is file://, without a host" }
        guard Origin.hasHostsOfItsOwn(scheme), !authority.equals("*") else {
            return "* in place of the whole host is for schemes with hosts of their own, such as moz-extension://*, "
                + "and without a port; for every page write \"*\" alone"
        }
        return "moz-extension://* has nothing behind its *"
    }

    /// - Parameter authority: the host and perhaps a port, without a path.
    private static func fault(host authority: Substring) -> String {
        var rest = authority
        if rest.begins(with: "*.") { rest = rest.dropping(2) }
        if rest.utf8.suffix(2).elementsEqual(":*".utf8) { rest = rest.slice(0..<rest.utf8.count - 2) }
        guard !rest.contains(byte: UInt8(ascii: "*")) else {
            return "a * stands once in front of the host, for its first labels (https://*.a.example), or once in place "
                + "of the port (http://localhost:*)"
        }
        guard !rest.isEmpty else { return "the host is missing" }
        let isLiteral = rest.utf8.first == UInt8(ascii: "[")
        if isLiteral, authority.begins(with: "*.") { return "an address has no labels, so no * stands in front of it" }
        guard isLiteral || !rest.contains(byte: UInt8(ascii: ":")) else {
            return "a port is a number from 1 to 65535, or * for every port, and stands once"
        }
        if isLiteral, rest.utf8.last != UInt8(ascii: "]") {
            return "an IPv6 address stands in brackets, with at most : and a port from 1 to 65535 behind them"
        }
        return "a host is a name of letters, digits, - and _ with points between them, or an address"
    }
}
